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
            if version.has_georeference() {
                let [_, geographic] = sample::georeferences();
                for (name, georeference) in [("degrees", Some(geographic)), ("nowhere", None)] {
                    let settings = Settings { georeference, ..settings.clone() };
                    let path = folder.path().join(format!("{version}-{dialect:?}-{name}.dxf"));
                    std::fs::write(path, sample::everything(settings)).unwrap();
                }
            }
        }
    }
    assert_eq!(ezdxf::run("audit", folder.path()), "");
    let systems = ezdxf::run("systems", folder.path());
    assert_eq!(systems.matches(".dxf: 5186 True 2 [200000.0, 600000.0, 0.0]\n").count(), 6, "{systems}");
    assert_eq!(systems.matches("-degrees.dxf: 4737 True 3 [127.0, 38.0, 0.0]\n").count(), 6, "{systems}");
    assert_eq!(systems.lines().count(), 12, "{systems}");
}
