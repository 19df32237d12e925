//! Releases of the format.

use std::fmt;

/// A release of DXF, by the release of AutoCAD that first wrote it.
///
/// Releases before R2000 are not written: AutoCAD has not taken them from others for years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// AC1015. No true colours.
    R2000,
    /// AC1018. The last one in a code page, and the one that most readers decode by its header alone.
    R2004,
    /// AC1021. The first one in UTF-8.
    R2007,
    /// AC1024. The first one with meshes.
    R2010,
    /// AC1027.
    R2013,
    /// AC1032.
    R2018,
}

impl Version {
    /// All of them, oldest first.
    pub const ALL: [Self; 6] = [Self::R2000, Self::R2004, Self::R2007, Self::R2010, Self::R2013, Self::R2018];

    /// The value of `$ACADVER`.
    pub fn acadver(self) -> &'static str {
        match self {
            Self::R2000 => "AC1015",
            Self::R2004 => "AC1018",
            Self::R2007 => "AC1021",
            Self::R2010 => "AC1024",
            Self::R2013 => "AC1027",
            Self::R2018 => "AC1032",
        }
    }

    /// The release that a name means, such as `R2004`, `2004` or `AC1018`, in any case.
    pub fn of_name(name: &str) -> Option<Self> {
        let name = name.trim().to_ascii_uppercase();
        let year = name.strip_prefix('R').unwrap_or(&name);
        Self::ALL.into_iter().find(|version| version.acadver() == name || version.year() == year)
    }

    fn year(self) -> &'static str {
        match self {
            Self::R2000 => "2000",
            Self::R2004 => "2004",
            Self::R2007 => "2007",
            Self::R2010 => "2010",
            Self::R2013 => "2013",
            Self::R2018 => "2018",
        }
    }

    /// Whether text is in UTF-8, whatever `$DWGCODEPAGE` says.
    pub fn is_utf8(self) -> bool {
        self >= Self::R2007
    }

    /// Whether entities may have true colours (420), opacity (440), and classes a count (91).
    /// AutoCAD discards an R2000 drawing that has them.
    pub fn has_true_color(self) -> bool {
        self >= Self::R2004
    }

    /// Whether a drawing may say where on the earth it lies.
    pub fn has_georeference(self) -> bool {
        self >= Self::R2010
    }

    /// Whether there are meshes, and two version groups (280) in attributes.
    pub fn has_mesh(self) -> bool {
        self >= Self::R2010
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "R{}", self.year())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for version in Version::ALL {
            assert_eq!(Version::of_name(&version.to_string()), Some(version));
            assert_eq!(Version::of_name(version.acadver()), Some(version));
        }
        assert_eq!(Version::of_name(" r2004"), Some(Version::R2004));
        assert_eq!(Version::of_name("2018"), Some(Version::R2018));
        assert_eq!(Version::of_name("R12"), None);
    }
}
