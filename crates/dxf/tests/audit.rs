//! ezdxf reads every drawing strictly, and its audit finds nothing to complain about or to mend.

mod common;

use cadmill_dxf::{Dialect, Settings, Version};
use common::{ezdxf, sample};

#[test]
fn ezdxf_finds_nothing_wrong() {
    let folder = tempfile::tempdir().unwrap();
    for version in Version::ALL {
        for dialect in [Dialect::Plain, Dialect::Ogr] {
            let settings = Settings { dialect, ..sample::settings(version) };
            let drawing = sample::everything(settings.clone());
            std::fs::write(folder.path().join(format!("{version}-{dialect:?}.dxf")), drawing).unwrap();
        }
    }
    assert_eq!(ezdxf::run("audit", folder.path()), "");
}
