//! Goes through the JSON of a glTF file, and keeps only what [`Declared`] has.

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Read};

/// Names of extensions that are kept, and the length of one in bytes.
const MAX_NAMES: usize = 100;
const MAX_NAME: usize = 200;

/// What stands for an element of a list in a path.
const ITEM: &str = "*";

/// What a file has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::model) struct Declared {
    pub(super) scenes: u64,
    pub(super) required: BTreeSet<String>,
    /// Extensions and the number of objects that have them.
    pub(super) extensions: BTreeMap<String, u64>,
    /// Textures that have an image by an extension only.
    pub(super) textures: BTreeMap<String, u64>,
    /// Objects with properties of the author.
    pub(super) extras: u64,
    pub(super) morph_targets: u64,
    /// Weights of morph targets that are not zero.
    pub(super) weights: u64,
    /// Channels of animations that change such weights.
    pub(super) morph_animations: u64,
    /// Scales of normals and strengths of occlusion that are not one.
    pub(super) strengths: u64,
}

/// Reads what the JSON declares.
pub(super) fn declared(json: impl Read) -> io::Result<Declared> {
    let mut walk = Walk::default();
    let mut json = serde_json::Deserializer::from_reader(json);
    Value(&mut walk).deserialize(&mut json)?;
    Ok(walk.declared)
}

#[derive(Debug, Default)]
struct Walk {
    declared: Declared,
    /// The keys on the way to the current value.
    path: Vec<String>,
    /// Whether the current texture has an image of its own.
    has_image: bool,
    /// The extensions of the current texture.
    of_texture: BTreeSet<String>,
}

impl Walk {
    fn is_at(&self, path: &[&str]) -> bool {
        self.path == path
    }

    /// Whether this is the weights of a mesh or a node.
    fn is_weight(&self) -> bool {
        self.is_at(&["meshes", ITEM, "weights", ITEM]) || self.is_at(&["nodes", ITEM, "weights", ITEM])
    }

    fn enter(&mut self, key: &str) {
        self.path.push(key.chars().take(MAX_NAME).collect());
        if self.is_at(&["scenes", ITEM]) {
            self.declared.scenes += 1;
        } else if self.is_at(&["meshes", ITEM, "primitives", ITEM, "targets", ITEM]) {
            self.declared.morph_targets += 1;
        } else if self.is_at(&["textures", ITEM]) {
            self.has_image = false;
            self.of_texture.clear();
        } else if self.is_at(&["textures", ITEM, "source"]) {
            self.has_image = true;
        } else if let [.., parent, name] = self.path.as_slice()
            && parent == "extensions"
        {
            let name = name.clone();
            if self.is_at(&["textures", ITEM, "extensions", &name]) && self.of_texture.len() < MAX_NAMES {
                self.of_texture.insert(name.clone());
            }
            if self.declared.extensions.len() < MAX_NAMES || self.declared.extensions.contains_key(&name) {
                *self.declared.extensions.entry(name).or_default() += 1;
            }
        }
    }

    fn leave(&mut self) {
        if self.is_at(&["textures", ITEM]) {
            // An image that the texture has besides is the same one in another form.
            for name in std::mem::take(&mut self.of_texture) {
                let is_only = !self.has_image;
                match (is_only, is_image(&name)) {
                    (true, true) => *self.declared.textures.entry(name).or_default() += 1,
                    (false, true) => forget(&mut self.declared, &name),
                    _ => {}
                }
            }
        }
        self.path.pop();
    }

    fn number(&mut self, number: f64) {
        if self.is_weight() {
            self.declared.weights += u64::from(number != 0.0);
        } else if self.is_at(&["materials", ITEM, "normalTexture", "scale"])
            || self.is_at(&["materials", ITEM, "occlusionTexture", "strength"])
        {
            self.declared.strengths += u64::from(number != 1.0);
        }
    }

    fn text(&mut self, text: &str) {
        if text == "weights" && self.is_at(&["animations", ITEM, "channels", ITEM, "target", "path"]) {
            self.declared.morph_animations += 1;
        }
        let required = &mut self.declared.required;
        if self.path == ["extensionsRequired", ITEM] && required.len() < MAX_NAMES {
            required.insert(text.chars().take(MAX_NAME).collect());
        }
    }
}

/// Whether an extension of a texture is an image.
fn is_image(name: &str) -> bool {
    ["KHR_texture_", "EXT_texture_", "MSFT_texture_"].iter().any(|prefix| name.starts_with(prefix))
}

fn forget(declared: &mut Declared, name: &str) {
    if let Some(count) = declared.extensions.get_mut(name) {
        *count -= 1;
        if *count == 0 {
            declared.extensions.remove(name);
        }
    }
}

/// The value at the current path.
struct Value<'a>(&'a mut Walk);

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let walk = self.0;
        let [.., last] = walk.path.as_slice() else { return deserializer.deserialize_any(Visit(walk)) };
        match last.as_str() {
            // What is in it is the author's.
            "extras" => {
                let is_of_asset = walk.is_at(&["asset", "extras"]);
                let has_names = walk.is_at(&["meshes", ITEM, "extras"]);
                let Extras { is_empty, is_names } = deserializer.deserialize_any(Extras::NOTHING)?;
                let is_kept = is_empty || is_of_asset || (has_names && is_names);
                walk.declared.extras += u64::from(!is_kept);
                Ok(())
            }
            // Of long texts nothing is kept.
            "uri" | "bufferViews" | "accessors" => deserializer.deserialize_ignored_any(IgnoredAny).map(drop),
            _ => deserializer.deserialize_any(Visit(walk)),
        }
    }
}

struct Visit<'a>(&'a mut Walk);

impl<'de> Visitor<'de> for Visit<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            self.0.enter(&key);
            map.next_value_seed(Value(&mut *self.0))?;
            self.0.leave();
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Item(&mut *self.0))?.is_some() {}
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.text(text);
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.0.number(number as f64);
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.0.number(number as f64);
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.0.number(number);
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// An element of a list.
struct Item<'a>(&'a mut Walk);

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.enter(ITEM);
        Value(&mut *self.0).deserialize(deserializer)?;
        self.0.leave();
        Ok(())
    }
}

/// Properties of the author.
struct Extras {
    is_empty: bool,
    /// Whether there is nothing but the names of morph targets, which Assimp reads.
    is_names: bool,
}

impl Extras {
    const NOTHING: Self = Self { is_empty: true, is_names: true };
    const SOMETHING: Self = Self { is_empty: false, is_names: false };
}

impl<'de> Visitor<'de> for Extras {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some((key, _)) = map.next_entry::<String, IgnoredAny>()? {
            self.is_empty = false;
            self.is_names &= key == "targetNames";
        }
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {
            self = Self::SOMETHING;
        }
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(Self::SOMETHING)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(Self::SOMETHING)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(Self::SOMETHING)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(Self::SOMETHING)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(Self::SOMETHING)
    }
}
