//! Whether a file begins as its format says.
//!
//! Only formats whose beginning is fixed by their specification are known; of another format nothing
//! is said.

/// What the file should begin with, if it does not. `head` are its first bytes, 512 at most.
pub(super) fn mismatch(extension: &str, head: &[u8], bytes: u64) -> Option<&'static str> {
    let text = head.trim_ascii_start();
    let begins = |word: &[u8]| text.starts_with(word);
    let has = |word: &[u8]| head.windows(word.len()).any(|window| window == word);
    let (is_good, expected) = match extension {
        // glTF 2.0, 4.4.2.
        "glb" => (head.starts_with(b"glTF"), "'glTF'"),
        "gltf" | "geojson" => (begins(b"{"), "a JSON object"),
        "json" => (begins(b"{") || begins(b"["), "JSON"),
        // ISO 10303-21, 5.3; IFC files have the same syntax.
        "stp" | "step" | "p21" | "ifc" => (begins(b"ISO-10303-21;"), "'ISO-10303-21;'"),
        // IGES 5.3, 2.2.3: the letter of the section is in column 73.
        "igs" | "iges" => {
            (head.get(72).is_some_and(|column| b"SCB".contains(column)), "an IGES start section")
        }
        "stl" => (begins(b"solid") || is_binary_stl(head, bytes), "'solid', or the size of binary STL"),
        "ply" => (head.starts_with(b"ply"), "'ply'"),
        "dxf" => (has(b"SECTION") || head.starts_with(b"AutoCAD Binary DXF"), "a DXF section"),
        "dwg" => (head.starts_with(b"AC10"), "the version of a DWG file"),
        "zip" | "3mf" | "kmz" | "usdz" => (head.starts_with(b"PK"), "'PK'"),
        "pdf" => (has(b"%PDF-"), "'%PDF-'"),
        "png" => (head.starts_with(b"\x89PNG\r\n\x1a\n"), "the signature of PNG"),
        "jpg" | "jpeg" => (head.starts_with(b"\xff\xd8\xff"), "the marker of JPEG"),
        "tif" | "tiff" => (head.starts_with(b"II") || head.starts_with(b"MM"), "the byte order of TIFF"),
        "gpkg" | "sqlite" | "mbtiles" => (head.starts_with(b"SQLite format 3\0"), "'SQLite format 3'"),
        "shp" | "shx" => (head.starts_with(b"\0\0\x27\x0a"), "the file code 9994"),
        "wrl" | "vrml" => (begins(b"#VRML"), "'#VRML'"),
        "brep" | "brp" => (has(b"CASCADE Topology") || has(b"DBRep_DrawableShape"), "a BREP header"),
        "svg" | "x3d" | "dae" | "gml" | "kml" | "xml" => (begins(b"<") || begins(b"\xef\xbb\xbf<"), "'<'"),
        "csv" | "obj" | "off" | "xyz" | "txt" => (!head.contains(&0), "text"),
        _ => return None,
    };
    (!is_good).then_some(expected)
}

/// The number of triangles at 80 gives the size of the file.
fn is_binary_stl(head: &[u8], bytes: u64) -> bool {
    let count = head.get(80..84).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).map(u32::from_le_bytes);
    count.is_some_and(|count| 84 + 50 * u64::from(count) == bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_another_format_is_noticed() {
        let mut stl = vec![0; 84 + 50];
        stl[80] = 1;
        for (extension, head, is_good) in [
            ("glb", &b"glTF\x02\0\0\0"[..], true),
            ("glb", b"{\"asset\"", false),
            ("stp", b"\r\nISO-10303-21;\nHEADER;", true),
            ("stp", b"solid x", false),
            ("stl", b"solid x", true),
            ("stl", &stl, true),
            ("stl", &stl[..133], false),
            ("csv", b"x,y\0", false),
            ("own", b"anything", true),
            ("", b"anything", true),
        ] {
            assert_eq!(
                mismatch(extension, head, head.len() as u64).is_none(),
                is_good,
                "{extension}: {head:?}"
            );
        }
    }
}
