//! The files beside a shapefile, in the spelling in which they are looked for.
//!
//! Systems that ignore the case of names write `Roads.shp`, `ROADS.DBF` and `roads.Prj` for one
//! shapefile. A library looks for the name of the `.shp` file with other extensions, in lower or
//! upper case, and does without those that it does not find: attributes, the reference system and
//! the encoding would be missing without a word. So they are unpacked under the names that it looks
//! for. No two entries of an archive differ in case only, so each name has one owner.

use std::borrow::Cow;
use std::collections::HashMap;

/// Extensions of the files that belong to a shapefile.
const BESIDE: &[&str] = &["shx", "dbf", "prj", "cpg", "qix", "qpj", "sbn", "sbx"];

/// The paths under which entries of these names are unpacked, in the same order.
pub(super) fn spelt<'a>(names: &[&'a str]) -> Vec<Cow<'a, str>> {
    let shapefiles: HashMap<String, &str> = names
        .iter()
        .filter_map(|name| split(name).filter(|(_, extension)| extension.eq_ignore_ascii_case("shp")))
        .map(|(stem, _)| (stem.to_lowercase(), stem))
        .collect();
    names.iter().map(|name| spelling(name, &shapefiles)).collect()
}

/// The name under which an entry that is to be converted is unpacked: a library opens `.shp` and
/// `.SHP` only.
pub(crate) fn on_disk(name: &str) -> Cow<'_, str> {
    match split(name) {
        Some((stem, extension))
            if extension.eq_ignore_ascii_case("shp") && !["shp", "SHP"].contains(&extension) =>
        {
            format!("{stem}.shp").into()
        }
        _ => name.into(),
    }
}

fn spelling<'a>(name: &'a str, shapefiles: &HashMap<String, &str>) -> Cow<'a, str> {
    if let respelt @ Cow::Owned(_) = on_disk(name) {
        return respelt;
    }
    let Some((stem, extension)) = split(name) else { return name.into() };
    let lower = extension.to_ascii_lowercase();
    if shapefiles.is_empty() || !BESIDE.contains(&lower.as_str()) {
        return name.into();
    }
    let Some(owner) = shapefiles.get(&stem.to_lowercase()) else { return name.into() };
    // A directory in another spelling is another directory.
    let is_found = stem == *owner && (extension == lower || extension == extension.to_ascii_uppercase());
    if is_found || directory(stem) != directory(owner) {
        name.into()
    } else {
        format!("{owner}.{lower}").into()
    }
}

/// The name without its extension, and the extension.
fn split(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once('.').filter(|(_, extension)| !extension.contains('/'))
}

fn directory(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

#[cfg(test)]
mod tests {
    use super::spelt;

    #[test]
    fn files_beside_a_shapefile_get_its_spelling() {
        for (names, expected) in [
            (
                &["Roads.shp", "ROADS.DBF", "roads.Prj", "Roads.shx"][..],
                &["Roads.shp", "Roads.dbf", "Roads.prj", "Roads.shx"][..],
            ),
            (&["d/도로.SHP", "d/도로.DBF", "d/도로.Cpg"], &["d/도로.SHP", "d/도로.DBF", "d/도로.cpg"]),
            (&["d/c.Shp", "d/C.DBF"], &["d/c.shp", "d/c.dbf"]),
            (&["a.shp", "b.DBF", "A.txt"], &["a.shp", "b.DBF", "A.txt"]),
            (&["d/a.shp", "e/A.DBF", "A.DBF"], &["d/a.shp", "e/A.DBF", "A.DBF"]),
            (&["A.DBF", "A.mtl"], &["A.DBF", "A.mtl"]),
        ] {
            assert_eq!(spelt(names), expected);
        }
    }
}
