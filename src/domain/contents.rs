//! What an engine finds in a file without converting it: data only.

use serde::{Deserialize, Serialize};

/// What a file contains. The texts are the file's own: they are untrusted.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Contents {
    /// The driver that reads the file; empty if the library does not tell.
    pub driver: String,
    /// The encoding in which its text is read; `None` if it is all ASCII or says so itself.
    pub encoding: Option<String>,
    /// Layers of geographic data and drawings.
    pub layers: Vec<Layer>,
    /// Number of layers, of which `layers` has the first.
    pub layers_total: u64,
    /// The scene of a model.
    pub scene: Option<Scene>,
    /// Files that the file names.
    pub references: Vec<Reference>,
    /// Number of references, of which `references` has the first.
    pub references_total: u64,
}

/// A layer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// The type that it declares for its geometry, e.g. `Polygon`.
    pub geometry: String,
    /// Number of features.
    pub features: u64,
    /// Number of features by the type of their geometry; `None` for those without.
    pub geometries: Vec<(String, u64)>,
    /// Number of entities by the layer of a drawing that they are on.
    pub drawing_layers: Vec<(String, u64)>,
    /// Number of layers of the drawing, of which `drawing_layers` has the first.
    pub drawing_layers_total: u64,
    /// Its fields: name and type.
    pub fields: Vec<(String, String)>,
    /// Number of fields, of which `fields` has the first.
    pub fields_total: u64,
    /// Its reference system, e.g. `EPSG:5186` or a name.
    pub reference_system: Option<String>,
    /// Least and greatest coordinates, in units of the reference system: x, y, z each. `None`
    /// without geometry.
    pub extent: Option<[[f64; 3]; 2]>,
}

/// The scene of a model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Scene {
    /// Number of meshes, which nodes may place several times.
    pub meshes: u64,
    /// Number of vertices of all meshes, as often as they are placed; so are the elements.
    pub vertices: u64,
    /// Number of points.
    pub points: u64,
    /// Number of lines.
    pub lines: u64,
    /// Number of faces with three vertices.
    pub triangles: u64,
    /// Number of faces with more.
    pub polygons: u64,
    /// Number of materials.
    pub materials: u64,
    /// Number of animations.
    pub animations: u64,
    /// Least and greatest coordinates of the vertices, in units of the file, where the nodes place
    /// them. `None` without vertices.
    pub extent: Option<[[f64; 3]; 2]>,
}

impl Scene {
    /// Widens the extent to a vertex, if its coordinates are numbers.
    pub fn extend(&mut self, vertex: [f64; 3]) {
        if vertex.iter().all(|number| number.is_finite()) {
            let [least, most] = self.extent.get_or_insert([vertex; 2]);
            for axis in 0..3 {
                least[axis] = least[axis].min(vertex[axis]);
                most[axis] = most[axis].max(vertex[axis]);
            }
        }
    }
}

/// A file that another names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Reference {
    /// The name in the file, or the name that a part of it must have.
    pub name: String,
    /// The file that it means, by its path in the directory of the input; `None` if it is missing.
    pub file: Option<String>,
}

/// Longest text that is kept, in characters.
const MAX_TEXT: usize = 200;

impl Contents {
    /// Cuts long texts, and shortens the longest lists until all of it is not longer than `bytes`
    /// as JSON. The totals still count everything.
    pub fn fit(&mut self, bytes: usize) {
        self.texts().for_each(cut);
        let length = |this: &Self| serde_json::to_vec(this).map_or(usize::MAX, |json| json.len());
        while length(self) > bytes {
            let most = |of: fn(&Layer) -> usize| self.layers.iter().map(of).max().unwrap_or(0);
            let fields = most(|layer| layer.fields.len());
            let drawn = most(|layer| layer.drawing_layers.len());
            let longest = fields.max(drawn).max(self.layers.len()).max(self.references.len());
            let half = longest / 2;
            for layer in &mut self.layers {
                layer.fields.truncate(half);
                layer.drawing_layers.truncate(half);
            }
            self.layers.truncate(half.max(1));
            self.references.truncate(half);
            if longest <= 1 {
                break;
            }
        }
    }

    /// All texts that come from the file.
    pub fn texts(&mut self) -> impl Iterator<Item = &mut String> {
        let layers = self.layers.iter_mut().flat_map(|layer| {
            let counts = layer.geometries.iter_mut().chain(&mut layer.drawing_layers).map(|(name, _)| name);
            let fields = layer.fields.iter_mut().flat_map(|(name, kind)| [name, kind]);
            [&mut layer.name, &mut layer.geometry]
                .into_iter()
                .chain(counts)
                .chain(fields)
                .chain(&mut layer.reference_system)
        });
        let references =
            self.references.iter_mut().flat_map(|one| std::iter::once(&mut one.name).chain(&mut one.file));
        std::iter::once(&mut self.driver).chain(&mut self.encoding).chain(layers).chain(references)
    }
}

fn cut(text: &mut String) {
    if let Some((at, _)) = text.char_indices().nth(MAX_TEXT) {
        text.truncate(at);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_shortened_and_still_counted() {
        let layer = |number: usize| Layer {
            name: format!("{number}{}", "도".repeat(300)),
            fields: vec![("field".repeat(40), "String".to_owned()); 500],
            fields_total: 500,
            ..Layer::default()
        };
        let mut contents =
            Contents { layers: (0..300).map(layer).collect(), layers_total: 300, ..Contents::default() };
        contents.fit(40 << 10);
        assert!(serde_json::to_vec(&contents).unwrap().len() <= 40 << 10);
        assert!(!contents.layers.is_empty() && contents.layers_total == 300);
        assert_eq!(contents.layers[0].fields_total, 500);
        assert_eq!(contents.layers[0].name.chars().count(), 201);
        let mut small = Contents { driver: "GPKG".to_owned(), ..Contents::default() };
        small.fit(40 << 10);
        assert_eq!(small.driver, "GPKG");
    }
}
