//! What a drawing got that its source did not have as such.

use std::ops::AddAssign;

/// Counts of what was written, and of what was changed so that readers take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    /// Entities in the model space.
    pub entities: u64,
    /// Characters that the code page lacks, written as `\U+XXXX`. R2007 and later need none.
    pub escaped_characters: u64,
    /// Control characters that were left out. Line breaks and tabs are not among them.
    pub dropped_controls: u64,
    /// Line breaks that became blanks, in names and in values of attributes.
    pub joined_lines: u64,
    /// Texts in the data that look like an escape of the format (`\U+AC00`), and were escaped themselves.
    pub escaped_escapes: u64,
    /// Texts of several lines or of more than 255 bytes, written as MTEXT instead of TEXT.
    pub long_texts: u64,
    /// Values of attributes that were cut at 255 bytes.
    pub cut_attributes: u64,
    /// Strings of extended data that were split, because they have more than 255 bytes.
    pub split_strings: u64,
    /// Rings with fewer than three vertices, left out of their hatch.
    pub dropped_rings: u64,
    /// Faces with two corners at one vertex, left out of their polyface mesh.
    pub dropped_faces: u64,
    /// Polyface meshes that were written as several, because they have more than 32,767 vertices or faces.
    pub split_meshes: u64,
    /// True colours that were written as the nearest index alone, because R2000 has no others.
    pub indexed_colors: u64,
}

impl AddAssign for Report {
    fn add_assign(&mut self, other: Self) {
        let Self {
            entities,
            escaped_characters,
            dropped_controls,
            joined_lines,
            escaped_escapes,
            long_texts,
            cut_attributes,
            split_strings,
            dropped_rings,
            dropped_faces,
            split_meshes,
            indexed_colors,
        } = other;
        self.entities += entities;
        self.escaped_characters += escaped_characters;
        self.dropped_controls += dropped_controls;
        self.joined_lines += joined_lines;
        self.escaped_escapes += escaped_escapes;
        self.long_texts += long_texts;
        self.cut_attributes += cut_attributes;
        self.split_strings += split_strings;
        self.dropped_rings += dropped_rings;
        self.dropped_faces += dropped_faces;
        self.split_meshes += split_meshes;
        self.indexed_colors += indexed_colors;
    }
}
