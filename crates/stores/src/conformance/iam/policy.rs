//! Policy documents, and what they decide.
//!
//! The rules are those of the IAM User Guide, "Policy evaluation logic", for the policies of one
//! identity: nothing is allowed by default, an allow allows, and a deny overrules every allow. What
//! a document contains and this module does not know is an error: a condition that is passed over
//! would make a policy look narrower than its check.

use serde::Deserialize;
use std::collections::BTreeMap;

/// Version of the policy language.
const VERSION: &str = "2012-10-17";

/// Condition keys that requests have values for.
const KEYS: [&str; 1] = [AUTH_TYPE];

/// How a request to S3 is signed: [`BY_HEADER`] or [`BY_QUERY`] (Amazon S3 API Reference, "Amazon S3
/// Signature Version 4 Authentication Specific Policy Keys").
pub const AUTH_TYPE: &str = "s3:authType";
/// Signed in the header `Authorization`.
pub const BY_HEADER: &str = "REST-HEADER";
/// Presigned: the signature is in the URL.
pub const BY_QUERY: &str = "REST-QUERY-STRING";

/// One action on one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// For example `s3:GetObject`.
    pub action: String,
    /// The ARN.
    pub resource: String,
    /// Condition keys and their values.
    pub context: BTreeMap<&'static str, String>,
}

impl Access {
    /// An action on a resource, without values for conditions.
    pub fn new(action: &str, resource: &str) -> Self {
        Self { action: action.to_owned(), resource: resource.to_owned(), context: BTreeMap::new() }
    }

    /// The same with a value for a condition key.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: &str) -> Self {
        self.context.insert(key, value.to_owned());
        self
    }
}

/// A statement of a policy, and the action in it, that decided.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// The policy's name.
    pub policy: String,
    /// The statement's `Sid`.
    pub sid: String,
    /// The action as the statement names it.
    pub action: String,
}

/// The decision about an access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every statement that allows it.
    Allowed(Vec<Grant>),
    /// A statement denies it, or none allows it.
    Refused,
}

impl Verdict {
    /// Whether it is allowed.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }
}

/// Decides about an access by all policies of an identity.
pub fn decide(policies: &[Policy], access: &Access) -> Verdict {
    let mut grants = Vec::new();
    for policy in policies {
        for statement in &policy.statements {
            let Some(action) = statement.applies(access) else { continue };
            if statement.effect == Effect::Deny {
                return Verdict::Refused;
            }
            let (policy, sid) = (policy.name.clone(), statement.sid.clone());
            grants.push(Grant { policy, sid, action: action.to_owned() });
        }
    }
    if grants.is_empty() { Verdict::Refused } else { Verdict::Allowed(grants) }
}

/// A policy document whose placeholders are filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    name: String,
    statements: Vec<Statement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Statement {
    sid: String,
    effect: Effect,
    actions: Vec<String>,
    resources: Vec<String>,
    conditions: Vec<Condition>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Effect {
    Allow,
    Deny,
}

/// Holds if the request has a value for the key that matches one of these.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    operator: Operator,
    key: &'static str,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    StringEquals,
    StringLike,
}

/// The document as it is written. `Principal`, `NotAction` and `NotResource` are not known.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Document {
    version: String,
    statement: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct Written {
    sid: String,
    effect: Effect,
    action: OneOrMore,
    resource: OneOrMore,
    #[serde(default)]
    condition: BTreeMap<String, BTreeMap<String, OneOrMore>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn all(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::More(more) => more,
        }
    }
}

impl Policy {
    /// Reads a document and fills its placeholders, `${Name}`.
    ///
    /// # Errors
    /// A text for the test that reads it: what is unknown, unfilled or empty.
    pub fn parse(name: &str, text: &str, values: &[(&str, &str)]) -> Result<Self, String> {
        let document: Document = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if document.version != VERSION {
            return Err(format!("the version is {:?}, not {VERSION}", document.version));
        }
        let mut statements: Vec<Statement> = Vec::new();
        for written in document.statement {
            let statement = written.read(values)?;
            if statements.iter().any(|known| known.sid == statement.sid) {
                return Err(format!("there are two statements {:?}", statement.sid));
            }
            statements.push(statement);
        }
        if statements.is_empty() {
            return Err("there is no statement".to_owned());
        }
        Ok(Self { name: name.to_owned(), statements })
    }

    /// Each action of each statement that allows.
    pub fn grants(&self) -> impl Iterator<Item = Grant> {
        let allows = self.statements.iter().filter(|statement| statement.effect == Effect::Allow);
        allows.flat_map(|statement| {
            statement.actions.iter().map(|action| Grant {
                policy: self.name.clone(),
                sid: statement.sid.clone(),
                action: action.clone(),
            })
        })
    }

    /// The same policy without an action of a statement.
    ///
    /// # Panics
    /// If the statement does not have it: such a test would remove nothing.
    #[must_use]
    pub fn without(mut self, sid: &str, action: &str) -> Self {
        let statement = self.statements.iter_mut().find(|statement| statement.sid == sid);
        let actions = &mut statement.unwrap_or_else(|| panic!("no statement {sid:?}")).actions;
        let before = actions.len();
        actions.retain(|known| known != action);
        assert!(actions.len() < before, "{sid} does not have {action}");
        self
    }
}

impl Written {
    fn read(self, values: &[(&str, &str)]) -> Result<Statement, String> {
        let Self { sid, effect, action, resource, condition } = self;
        let actions = action.all();
        if let Some(wrong) = actions.iter().find(|action| !is_action(action)) {
            return Err(format!("{sid}: {wrong:?} is not an action"));
        }
        let resources: Result<Vec<_>, _> = resource.all().iter().map(|text| filled(text, values)).collect();
        let resources = resources.map_err(|error| format!("{sid}: {error}"))?;
        if actions.is_empty() || resources.is_empty() {
            return Err(format!("{sid}: it has no action or no resource"));
        }
        let mut conditions = Vec::new();
        for (operator, keys) in condition {
            let operator = match operator.as_str() {
                "StringEquals" => Operator::StringEquals,
                "StringLike" => Operator::StringLike,
                _ => return Err(format!("{sid}: the operator {operator:?} is not known")),
            };
            for (key, expected) in keys {
                let known = KEYS.into_iter().find(|known| known.eq_ignore_ascii_case(&key));
                let key = known.ok_or_else(|| format!("{sid}: the key {key:?} is not known"))?;
                let expected: Result<Vec<_>, _> =
                    expected.all().iter().map(|text| filled(text, values)).collect();
                conditions.push(Condition { operator, key, values: expected? });
            }
        }
        Ok(Statement { sid, effect, actions, resources, conditions })
    }
}

impl Statement {
    /// The action of this statement that matches, if the statement applies to the access.
    fn applies(&self, access: &Access) -> Option<&str> {
        // Names of actions are not case-sensitive, resources are.
        let asked = access.action.to_ascii_lowercase();
        let action = self.actions.iter().find(|action| matches(&action.to_ascii_lowercase(), &asked))?;
        let resource = self.resources.iter().any(|pattern| matches(pattern, &access.resource));
        let conditions = self.conditions.iter().all(|condition| condition.holds(access));
        (resource && conditions).then_some(action)
    }
}

impl Condition {
    /// Without a value it does not hold (IAM User Guide, "Condition operators").
    fn holds(&self, access: &Access) -> bool {
        access.context.get(self.key).is_some_and(|value| {
            self.values.iter().any(|expected| match self.operator {
                Operator::StringEquals => expected == value,
                Operator::StringLike => matches(expected, value),
            })
        })
    }
}

/// `*`, or a service and a name with wildcards.
fn is_action(text: &str) -> bool {
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "*?-".contains(c));
    text == "*" || text.split_once(':').is_some_and(|(service, name)| is_name(service) && is_name(name))
}

/// The text with every `${Name}` replaced by its value.
fn filled(text: &str, values: &[(&str, &str)]) -> Result<String, String> {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, behind) = after.split_once('}').ok_or_else(|| format!("{text:?} does not end"))?;
        let value = values.iter().find(|(known, _)| *known == name);
        result += before;
        result += value.ok_or_else(|| format!("nothing fills ${{{name}}}"))?.1;
        rest = behind;
    }
    Ok(result + rest)
}

/// Whether the whole text matches the pattern: `*` stands for any characters, `?` for one.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where to go on if the last star has to take one character more.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(&c) if c == '?' || c == text[t] => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((behind, taken)) = star else { return false };
                star = Some((behind, taken + 1));
                (p, t) = (behind, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}
