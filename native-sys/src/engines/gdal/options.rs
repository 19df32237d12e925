//! GDAL's options: the switches of `ogr2ogr` that are safe with a stranger's file.
//!
//! Left out on purpose: `-sql` (reaches extensions and other files), `-clipsrc`
//! and its like with a data source, `-oo`/`-dsco`/`-lco` options that name a
//! file to read, and everything that appends to or updates an existing output.
//! GDAL opens a file or a URL when a reference system is one, and a file when a
//! `-where` begins with `@`: both are refused by their form.

use std::ffi::CString;

/// Options in the form that GDAL takes.
#[derive(Debug, Default)]
pub(super) struct Options {
    /// Arguments for `GDALVectorTranslateOptionsNew`.
    pub(super) translate: Vec<CString>,
    /// `NAME=VALUE` for `GDALOpenEx`.
    pub(super) open: Vec<CString>,
}

/// Switches with one value.
const VALUES: &[&str] = &[
    "a_srs",
    "s_srs",
    "t_srs",
    "select",
    "where",
    "nln",
    "nlt",
    "dim",
    "simplify",
    "segmentize",
    "limit",
    "gt",
    "spat",
    "spat_srs",
    "fieldTypeToString",
    "mapFieldType",
    "datelineoffset",
    "maxsubfields",
    "zfield",
    "clipsrc",
];

/// Switches without a value, given as `name=yes`.
const FLAGS: &[&str] = &[
    "skipfailures",
    "makevalid",
    "explodecollections",
    "preserve_fid",
    "wrapdateline",
    "unsetFieldWidth",
    "splitlistfields",
    "emptyStrAsNull",
];

/// Dataset, layer and open options that make a driver read another file.
const FILE_OPTIONS: &[&str] = &[
    "HEADER",
    "TRAILER",
    "SEED",
    "TEMPLATE",
    "XSD",
    "XSDSCHEMA",
    "GFS_TEMPLATE",
    "PRELUDE_STATEMENTS",
    "CLOSING_STATEMENTS",
    "LIST_ALL_TABLES",
    "STYLE_FILE",
    "CONFIG_FILE",
    "SCHEMA",
    "EXTERNAL_OVERVIEW_FNAME",
];

/// Reads the options.
///
/// # Errors
/// A sentence that names the option and what is allowed instead.
pub(super) fn parse(options: &[(String, String)]) -> Result<Options, String> {
    let mut parsed = Options::default();
    for (name, value) in options {
        let c_value = CString::new(value.as_str())
            .map_err(|_| format!("option '{name}': the value contains a NUL byte"))?;
        if name == "layer" {
            // A layer's name is an argument by itself: it must not pass for a switch.
            if value.starts_with('-') {
                return Err("option 'layer': a name cannot begin with '-'".to_owned());
            }
            parsed.translate.push(c_value);
        } else if let Some((prefix, key)) = name.split_once('.') {
            push_driver_option(&mut parsed, name, prefix, key, value)?;
        } else if let Some(switch) = VALUES.iter().find(|v| v.eq_ignore_ascii_case(name)) {
            push_value(&mut parsed, switch, value)?;
        } else if let Some(switch) = FLAGS.iter().find(|f| f.eq_ignore_ascii_case(name)) {
            match value.as_str() {
                "yes" | "true" | "1" => parsed.translate.push(c_text(&format!("-{switch}"))?),
                "no" | "false" | "0" => {}
                _ => return Err(format!("option '{name}': write yes or no, not '{value}'")),
            }
        } else {
            return Err(format!(
                "the engine has no option '{name}'; it takes layer, {}, {}, and dsco.NAME, lco.NAME, oo.NAME",
                VALUES.join(", "),
                FLAGS.join(", ")
            ));
        }
    }
    Ok(parsed)
}

fn push_value(parsed: &mut Options, switch: &str, value: &str) -> Result<(), String> {
    let numbers = match switch {
        "spat" | "clipsrc" => 4,
        _ => 0,
    };
    if switch.ends_with("_srs") && !is_authority_code(value) {
        return Err(format!("option '{switch}': write a code such as EPSG:25832, not '{value}'"));
    }
    if value.starts_with('@') {
        return Err(format!("option '{switch}': a value cannot begin with '@'"));
    }
    parsed.translate.push(c_text(&format!("-{switch}"))?);
    if numbers == 0 {
        parsed.translate.push(c_text(value)?);
        return Ok(());
    }
    // A rectangle only: a name here would be opened as a data source.
    let parts: Vec<&str> = value.split([',', ' ']).filter(|p| !p.is_empty()).collect();
    if parts.len() != numbers || parts.iter().any(|p| p.parse::<f64>().is_err()) {
        return Err(format!("option '{switch}': write xmin,ymin,xmax,ymax, not '{value}'"));
    }
    for part in parts {
        parsed.translate.push(c_text(part)?);
    }
    Ok(())
}

fn push_driver_option(
    parsed: &mut Options,
    name: &str,
    prefix: &str,
    key: &str,
    value: &str,
) -> Result<(), String> {
    let well_formed = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !well_formed {
        return Err(format!("option '{name}': '{key}' is no name of a driver option"));
    }
    if FILE_OPTIONS.iter().any(|f| f.eq_ignore_ascii_case(key)) {
        return Err(format!("option '{name}' is refused: it makes the engine read another file"));
    }
    let pair = c_text(&format!("{key}={value}"))?;
    match prefix {
        "dsco" => parsed.translate.extend([c_text("-dsco")?, pair]),
        "lco" => parsed.translate.extend([c_text("-lco")?, pair]),
        "oo" => parsed.open.push(pair),
        _ => {
            return Err(format!(
                "the engine has no option '{name}'; driver options begin with dsco., lco. or oo."
            ));
        }
    }
    Ok(())
}

/// `EPSG:25832` and its like; anything else may be a file name or a URL to GDAL.
fn is_authority_code(value: &str) -> bool {
    value.split_once(':').is_some_and(|(authority, code)| {
        ["EPSG", "ESRI", "OGC", "IGNF"].iter().any(|a| a.eq_ignore_ascii_case(authority))
            && !code.is_empty()
            && code.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

fn c_text(text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|_| "an option contains a NUL byte".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(options: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let options: Vec<_> = options.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let parsed = parse(&options)?;
        let open = parsed.open.iter().map(|o| format!("oo:{}", o.to_str().unwrap()));
        Ok(parsed.translate.iter().map(|a| a.to_str().unwrap().to_owned()).chain(open).collect())
    }

    #[test]
    fn switches() {
        assert_eq!(parsed(&[("t_srs", "EPSG:3857")]).unwrap(), ["-t_srs", "EPSG:3857"]);
        assert_eq!(parsed(&[("skipfailures", "yes"), ("makevalid", "no")]).unwrap(), ["-skipfailures"]);
        assert_eq!(parsed(&[("layer", "roads")]).unwrap(), ["roads"]);
        assert_eq!(parsed(&[("spat", "0,0,10,10")]).unwrap(), ["-spat", "0", "0", "10", "10"]);
        assert_eq!(
            parsed(&[("dsco.VERSION", "1.2"), ("lco.FID", "id"), ("oo.X", "y")]).unwrap(),
            ["-dsco", "VERSION=1.2", "-lco", "FID=id", "oo:X=y"]
        );
    }

    #[test]
    fn what_reaches_other_files_is_refused() {
        for (name, value) in [
            ("sql", "SELECT load_extension('x')"),
            ("clipsrc", "/etc/passwd"),
            ("clipsrcsql", "x"),
            ("dsco.HEADER", "/etc/passwd"),
            ("lco.header", "/etc/passwd"),
            ("oo.XSD", "http://example.com/x.xsd"),
            ("t_srs", "/etc/passwd"),
            ("a_srs", "http://example.com/x"),
            ("s_srs", "EPSG:../x"),
            ("where", "@/etc/passwd"),
            ("append", "yes"),
            ("update", "yes"),
            ("layer", "-append"),
            ("dsco.A=B", "c"),
            ("config.X", "y"),
            ("t_srs", "a\0b"),
        ] {
            assert!(parsed(&[(name, value)]).is_err(), "{name}={value}");
        }
    }
}
