//! Units of length.

/// The unit of a drawing's coordinates (`$INSUNITS`). Programs scale by it when they insert one
/// drawing into another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Units {
    /// None, as for degrees.
    #[default]
    None,
    /// Inches of 25.4 mm.
    Inches,
    /// International feet of 304.8 mm.
    Feet,
    /// Millimetres.
    Millimetres,
    /// Centimetres.
    Centimetres,
    /// Metres.
    Metres,
    /// Kilometres.
    Kilometres,
    /// Feet of the survey of the United States, 1200/3937 m. Programs before AutoCAD 2017 do not know it.
    UsSurveyFeet,
}

impl Units {
    /// The unit of so many metres, within one in 10^9; none if there is none.
    pub fn of_metres(metres: f64) -> Self {
        let all = [
            (Self::Inches, 0.0254),
            (Self::Feet, 0.3048),
            (Self::Millimetres, 0.001),
            (Self::Centimetres, 0.01),
            (Self::Metres, 1.0),
            (Self::Kilometres, 1000.0),
            (Self::UsSurveyFeet, 1200.0 / 3937.0),
        ];
        all.into_iter()
            .find(|(_, size)| (metres / size - 1.0).abs() < 1e-9)
            .map_or(Self::None, |(unit, _)| unit)
    }

    /// The value of `$INSUNITS`.
    pub(crate) fn value(self) -> i64 {
        match self {
            Self::None => 0,
            Self::Inches => 1,
            Self::Feet => 2,
            Self::Millimetres => 4,
            Self::Centimetres => 5,
            Self::Metres => 6,
            Self::Kilometres => 7,
            Self::UsSurveyFeet => 21,
        }
    }

    /// The value of `$MEASUREMENT`: whether patterns of lines and hatches are metric.
    pub(crate) fn is_metric(self) -> bool {
        !matches!(self, Self::Inches | Self::Feet | Self::UsSurveyFeet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_by_size() {
        assert_eq!(Units::of_metres(1.0), Units::Metres);
        assert_eq!(Units::of_metres(0.3048), Units::Feet);
        assert_eq!(Units::of_metres(0.304_800_609_601_219_2), Units::UsSurveyFeet);
        assert_eq!(Units::of_metres(0.017_453_292_519_943_295), Units::None);
        assert_eq!(Units::of_metres(f64::NAN), Units::None);
    }
}
