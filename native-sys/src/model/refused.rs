//! The reasons of Assimp for a refusal, with what the user can do.

use crate::engine::EngineError;

/// What the user can do about the reasons that Assimp gives, by words in them.
const ADVICE: &[(&str, &str)] = &[
    (
        "IFC: Unrecognized file schema",
        "of STEP files only those with an IFC schema are read: export the model as IFC, or as a mesh such as glTF or OBJ",
    ),
    ("No suitable reader found", "the content is not of the format that the name says"),
    ("could not open referenced file", "put that file beside the model, into the same archive"),
    ("file is empty", "the model has no faces: export it again"),
    ("malformed XML", "the XML is damaged or cut short: export the model again"),
    ("exceeds size of actual data", "the file is cut short: transfer or export it again"),
    ("block offset is out of range", "the file is damaged or cut short: export it again, or as ASCII FBX"),
    ("Chunk is too large", "the file is damaged or cut short: transfer or export it again"),
    ("Failed to determine STL storage", "the file is damaged or cut short: transfer or export it again"),
    ("Cannot parse string", "the file is damaged or cut short: transfer or export it again"),
];

/// The library wrote nothing, and gave no reason.
const NOT_EXPORTED: &str = "Assimp could not export the scene";

/// The failure for a reason of Assimp, whichever way it is called, with what the user can do.
pub(crate) fn refused(reason: &str) -> EngineError {
    if reason.trim_end() == NOT_EXPORTED {
        return EngineError::Rejected(format!(
            "{NOT_EXPORTED}, and gave no reason: the model is damaged, or has nothing that the output format has"
        ));
    }
    match ADVICE.iter().find(|(words, _)| reason.contains(words)) {
        Some((_, advice)) => {
            EngineError::Rejected(format!("{}; {advice}", reason.trim_end().trim_end_matches('.')))
        }
        None => EngineError::Rejected(reason.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_say_what_to_do() {
        let text = |reason| match refused(reason) {
            EngineError::Rejected(text) => text,
            other => panic!("{other:?}"),
        };
        assert!(text("IFC: Unrecognized file schema: AUTOMOTIVE_DESIGN").contains("export the model as IFC"));
        assert_eq!(text("something new"), "something new");
        assert!(text(NOT_EXPORTED).contains("damaged, or has nothing"));
    }
}
