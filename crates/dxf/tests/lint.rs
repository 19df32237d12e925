//! The linter passes what ezdxf, GDAL and the writer write, and finds each of the faults that are
//! planted in it.

mod common;

use cadmill_dxf::lint::{Profile, check};
use cadmill_dxf::{Dialect, Settings, Version};
use common::{ezdxf, sample};

fn assert_clean(name: &str, drawing: &[u8], profile: Profile) {
    let findings = check(drawing, profile);
    let texts: Vec<String> = findings.iter().take(5).map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{name}: {} findings, such as {texts:#?}", findings.len());
}

#[test]
fn own_drawings_pass() {
    for version in Version::ALL {
        assert_clean("plain", &sample::everything(sample::settings(version)), Profile::Strict);
        let settings = Settings { dialect: Dialect::Ogr, ..sample::settings(version) };
        assert_clean("ogr", &sample::everything(settings), Profile::Ogr);
    }
}

#[test]
fn drawings_of_ezdxf_pass() {
    let folder = tempfile::tempdir().unwrap();
    ezdxf::run("write", folder.path());
    let mut count = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "dxf") {
            assert_clean(&path.to_string_lossy(), &std::fs::read(path.clone()).unwrap(), Profile::Strict);
            count += 1;
        }
    }
    assert_eq!(count, 12);
}

#[test]
fn drawings_of_gdal_pass() {
    let folder = tempfile::tempdir().unwrap();
    let drawing = common::gdal::drawing(folder.path(), common::gdal::FEATURES);
    assert_clean("ogr2ogr", &drawing, Profile::Ogr);
}
