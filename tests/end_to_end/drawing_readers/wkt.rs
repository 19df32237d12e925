//! Geometries as well-known text, which GDAL writes and the tests make.

/// A point in space; without a height it has the height 0.
pub(super) type Vertex = [f64; 3];

/// A geometry, or a ring of one.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Geometry {
    /// `POINT`, `POLYGON` and so on; a ring or a line has none if it is part of another.
    pub(super) kind: String,
    pub(super) points: Vec<Vertex>,
    pub(super) parts: Vec<Geometry>,
}

/// Reads well-known text.
pub(super) fn read(text: &str) -> Geometry {
    let mut reader = Reader { rest: text };
    let geometry = reader.geometry(true);
    assert!(reader.rest.trim().is_empty(), "'{}' follows in {text}", reader.rest);
    geometry
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// Parts have heights if the whole has, as what it is named says.
    fn geometry(&mut self, mut has_heights: bool) -> Geometry {
        let mut kind = String::new();
        loop {
            match self.word() {
                "" => break,
                "Z" | "ZM" => has_heights = true,
                "M" => has_heights = false,
                "EMPTY" => return Geometry { kind, ..Geometry::default() },
                word => word.clone_into(&mut kind),
            }
        }
        let mut geometry = Geometry { kind, ..Geometry::default() };
        assert!(self.takes('('), "'{}' is no geometry", self.rest);
        loop {
            let is_part = self.rest.trim_start().starts_with(|c: char| c == '(' || c.is_ascii_uppercase());
            if is_part {
                geometry.parts.push(self.geometry(has_heights));
            } else {
                let end = self.rest.find([',', ')']).expect("the end of a point");
                let mut numbers = self.rest[..end].split_whitespace().map(|word| word.parse().unwrap());
                let mut next = || numbers.next().unwrap_or(0.0);
                let (x, y, z) = (next(), next(), next());
                geometry.points.push([x, y, if has_heights { z } else { 0.0 }]);
                self.rest = &self.rest[end..];
            }
            if !self.takes(',') {
                assert!(self.takes(')'), "'{}' does not end a geometry", self.rest);
                return geometry;
            }
        }
    }

    fn word(&mut self) -> &'a str {
        let rest = self.rest.trim_start();
        let end = rest.find(|c: char| !c.is_ascii_uppercase()).unwrap_or(rest.len());
        self.rest = &rest[end..];
        &rest[..end]
    }

    fn takes(&mut self, letter: char) -> bool {
        let rest = self.rest.trim_start().strip_prefix(letter);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}

#[test]
fn nested_geometries_are_read() {
    let text = "GEOMETRYCOLLECTION Z (POINT Z (1 2 3),MULTIPOLYGON (((0 0,1 0,1 1,0 0))),LINESTRING EMPTY)";
    let read = read(text);
    let kinds: Vec<&str> = read.parts.iter().map(|part| part.kind.as_str()).collect();
    assert_eq!(kinds, ["POINT", "MULTIPOLYGON", "LINESTRING"]);
    assert_eq!(read.parts[0].points, [[1.0, 2.0, 3.0]]);
    assert_eq!(read.parts[1].parts[0].parts[0].points[2], [1.0, 1.0, 0.0]);
}
