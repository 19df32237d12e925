//! Texts that are made of fields: the name of one, or a template such as `{kind}_{code}`.

/// A part of a template.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Field(String),
}

/// A template.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engines::gdal) struct Template(Vec<Part>);

impl Template {
    /// Reads a template. Without braces it is the name of a field. Doubled braces are braces.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("write the name of a field, or a template such as {kind}_{code}".to_owned());
        }
        if !text.contains(['{', '}']) {
            return Ok(Self(vec![Part::Field(text.to_owned())]));
        }
        let (mut parts, mut plain) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
                continue;
            }
            let field =
                (brace == "{").then(|| rest.split_once('}')).flatten().filter(|(name, _)| !name.is_empty());
            let (name, after) = field.ok_or_else(|| {
                format!("'{text}' has a brace without its other one; {{{{ and }}}} are braces themselves")
            })?;
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Field(name.to_owned()));
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// The fields that it names.
    pub(super) fn fields(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Field(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The text for a feature, whose fields `value` has.
    pub(super) fn text(&self, mut value: impl FnMut(&str) -> String) -> String {
        self.0
            .iter()
            .map(|part| match part {
                Part::Field(name) => value(name),
                Part::Text(text) => text.clone(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(template: &str) -> String {
        Template::parse(template).unwrap().text(|field| format!("<{field}>"))
    }

    #[test]
    fn fields_are_put_in_their_places() {
        assert_eq!(text("종류"), "<종류>");
        assert_eq!(text("{kind}_{code}"), "<kind>_<code>");
        assert_eq!(text("no. {a b}!"), "no. <a b>!");
        assert_eq!(text("{{{a}}}"), "{<a>}");
        assert_eq!(text("{{a}}"), "{a}");
        assert_eq!(Template::parse("{a}-{b}").unwrap().fields().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn braces_without_the_other_are_refused() {
        for bad in ["", "{a", "a}", "{}", "{a}}{"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }
}
