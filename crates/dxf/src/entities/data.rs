//! Extended data (XDATA). They end an entity, and precede the vertices or attributes that it has.

use super::{Entities, check_numbers};
use crate::error::Refusal;
use crate::properties::{DataValue, ExtendedData, Properties};
use crate::text::{self, Place};
use std::io::Write;

/// Bytes that an entity's extended data may take: a limit of the DWG format, in which a string
/// has three bytes of its own.
const LONGEST: usize = 16_383;

impl<W: Write> Entities<'_, W> {
    /// Formats the extended data of an entity before anything of the entity is written.
    pub(super) fn prepare_data(&mut self, properties: &Properties<'_>) -> Result<(), Refusal> {
        self.data.clear();
        if properties.data.is_empty() {
            return Ok(());
        }
        let before = self.report;
        let result = self.format_data(properties.data);
        if result.is_err() {
            self.report = before;
        }
        result
    }

    fn format_data(&mut self, all: &[ExtendedData<'_>]) -> Result<(), Refusal> {
        let charset = self.drawing.settings.charset();
        let (pairs, report) = (&mut self.data, &mut self.report);
        let mut size = 0;
        for data in all {
            let name = &self.drawing.applications[data.application.0 as usize].name;
            pairs.bytes(1001, name);
            size += 3 + name.len();
            let mut depth = 0i32;
            for value in data.values {
                size += match value {
                    DataValue::Text(text) => {
                        let mut length = 0;
                        let count = text::pieces(text, Place::Data, charset, report, |piece, _| {
                            pairs.bytes(1000, piece);
                            length += 3 + piece.len();
                        });
                        report.split_strings += u64::from(count > 1);
                        length
                    }
                    DataValue::Real(number) => {
                        check_numbers(&[*number])?;
                        pairs.real(1040, *number);
                        9
                    }
                    DataValue::Long(number) => {
                        pairs.int(1071, (*number).into());
                        5
                    }
                    DataValue::Short(number) => {
                        pairs.int(1070, (*number).into());
                        3
                    }
                    DataValue::Layer(layer) => {
                        let name = &self.drawing.layers[layer.0 as usize].name;
                        pairs.bytes(1003, name);
                        3 + name.len()
                    }
                    DataValue::Begin => {
                        depth += 1;
                        pairs.str(1002, "{");
                        4
                    }
                    DataValue::End => {
                        depth -= 1;
                        pairs.str(1002, "}");
                        4
                    }
                };
                if depth < 0 {
                    return Err(Refusal::Braces);
                }
                if size > LONGEST {
                    return Err(Refusal::ExtendedData);
                }
            }
            if depth != 0 {
                return Err(Refusal::Braces);
            }
        }
        Ok(())
    }

    pub(super) fn put_data(&mut self) {
        self.sink.pairs.append(self.data.as_slice());
        self.data.clear();
    }
}
