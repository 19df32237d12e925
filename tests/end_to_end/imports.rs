//! No import cycles between files.
//!
//! The graph is built from the `use` lines of all crates, and from paths in the code that name a
//! module (`crate::…`, `super::…`, `cadmill_…::…`, `module::…`). What a parent re-exports from a
//! child counts as the child's. Test modules are left out.

use crate::support::repository;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Every crate, by the name under which it is imported, and its root file. Programs have names that
/// nothing imports.
const CRATES: [(&str, &str); 13] = [
    ("cadmill_core", "src/lib.rs"),
    ("cadmill_archive", "crates/archive/src/lib.rs"),
    ("cadmill_dxf", "crates/dxf/src/lib.rs"),
    ("cadmill_plugin", "crates/plugin/src/lib.rs"),
    ("cadmill_stores", "crates/stores/src/lib.rs"),
    ("cadmill_native_sys", "native-sys/src/lib.rs"),
    ("cadmill_converter", "converter/src/lib.rs"),
    ("cadmill_api", "api/src/lib.rs"),
    ("<cadmill-engine-host>", "converter/src/engine/host/main.rs"),
    ("<cadmill-converter>", "converter/src/worker/main.rs"),
    ("<cadmill-api>", "api/src/main.rs"),
    ("<cadmill-cleanup>", "api/src/bin/cadmill-cleanup.rs"),
    ("<cadmill>", "cli/src/main.rs"),
];

/// A module: its crate and its path within the crate.
type Module = (&'static str, Vec<String>);

#[derive(Default)]
struct Sources {
    files: BTreeMap<Module, PathBuf>,
    modules: BTreeMap<PathBuf, Module>,
    code: BTreeMap<PathBuf, String>,
    /// What each file names by `use`, and whether it only re-exports it.
    names: BTreeMap<PathBuf, BTreeMap<String, Module>>,
}

/// The code of a file without comments, string literals and test modules.
fn code_of(source: &str) -> String {
    let mut code = String::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(hashes) = raw_text(rest, &code) {
            let end = format!("\"{}", "#".repeat(hashes));
            let begin = hashes + 2;
            begin + rest[begin..].find(&end).unwrap() + end.len()
        } else if first == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            end.unwrap() + 2
        } else if first == '\'' {
            // A character literal, or the beginning of a lifetime.
            let mut chars = rest[1..].char_indices();
            match (chars.next(), chars.next()) {
                (Some((_, '\\')), Some(_)) => rest[3..].find('\'').unwrap() + 4,
                (Some(_), Some((at, '\''))) => at + 2,
                _ => 0,
            }
        } else {
            0
        };
        if skipped > 0 {
            code.push(' ');
            rest = &rest[skipped..];
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    without_tests(&code)
}

/// The number of `#` of a raw string that begins here.
fn raw_text(rest: &str, before: &str) -> Option<usize> {
    let in_word = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    let after = rest.strip_prefix('r').filter(|_| !in_word)?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some(hashes)
}

fn without_tests(code: &str) -> String {
    let mut code = code.to_owned();
    let mut from = 0;
    while let Some(at) = code[from..].find("#[cfg(").map(|at| at + from) {
        let condition = &code[at..at + code[at..].find(']').unwrap() + 1];
        let end = at + condition.len();
        let is_test = condition.split(|c: char| !c.is_alphanumeric()).any(|word| word == "test");
        let module = code[end..].find(['{', ';']).map(|length| &code[end..end + length]);
        let is_module = module.is_some_and(|head| head.split_whitespace().any(|word| word == "mod"));
        if !is_test || !is_module {
            from = end;
            continue;
        }
        let opening = end + code[end..].find(['{', ';']).unwrap();
        let mut depth = 0;
        let length = code[opening..].find(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth == 0
        });
        code.replace_range(at..=opening + length.unwrap(), "");
        from = at;
    }
    code
}

/// The text after each occurrence of a word in the code.
fn after<'a>(code: &'a str, word: &str) -> Vec<&'a str> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .filter(|(at, _)| !code[..*at].ends_with(is_name) && !code[at + word.len()..].starts_with(is_name))
        .map(|(at, _)| &code[at + word.len()..])
        .collect()
}

/// The code without its `use` lines.
fn without_uses(code: &str) -> String {
    let mut rest = code;
    let mut without = String::new();
    for used in after(code, "use").into_iter().filter(|used| used.starts_with(char::is_whitespace)) {
        let Some(end) = used.find(';') else { continue };
        let Some(before) = rest.len().checked_sub(used.len()) else { continue };
        without.push_str(&rest[..before]);
        rest = &used[end..];
    }
    without + rest
}

/// The single paths of a `use`, which may have nested groups.
fn paths(text: &str) -> Vec<String> {
    let Some(opening) = text.find('{') else { return vec![text.trim().to_owned()] };
    let inner = &text[opening + 1..text.rfind('}').unwrap()];
    let (mut depth, mut parts, mut from) = (0, Vec::new(), 0);
    for (at, c) in inner.char_indices() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if c == ',' && depth == 0 {
            parts.push(&inner[from..at]);
            from = at + 1;
        }
    }
    parts.push(&inner[from..]);
    let full = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty());
    full.flat_map(|part| paths(&format!("{}{part}", text[..opening].trim()))).collect()
}

impl Sources {
    fn read() -> Self {
        let mut sources = Self::default();
        for (name, first) in CRATES {
            let path = repository().join(first);
            let directory = path.parent().unwrap().to_owned();
            sources.load((name, Vec::new()), path, &directory);
        }
        let files: Vec<PathBuf> = sources.code.keys().cloned().collect();
        for path in files {
            let names = sources.used(&path).into_iter().map(|(name, module, _)| (name, module)).collect();
            sources.names.insert(path, names);
        }
        sources
    }

    fn load(&mut self, module: Module, path: PathBuf, directory: &Path) {
        let code = code_of(&std::fs::read_to_string(&path).unwrap());
        for rest in after(&code, "mod") {
            let name: String =
                rest.trim_start().chars().take_while(|c| *c == '_' || c.is_alphanumeric()).collect();
            if !rest.trim_start()[name.len()..].trim_start().starts_with(';') {
                continue;
            }
            let inner = (module.0, [module.1.as_slice(), std::slice::from_ref(&name)].concat());
            let (flat, nested) = (directory.join(format!("{name}.rs")), directory.join(&name).join("mod.rs"));
            if let Some(file) = [flat, nested].into_iter().find(|file| file.exists()) {
                self.load(inner, file, &directory.join(&name));
            }
        }
        self.files.insert(module.clone(), path.clone());
        self.modules.insert(path.clone(), module);
        self.code.insert(path, code);
    }

    /// Resolves a path written in a file to its crate and module path.
    fn absolute(&self, file: &Path, path: &str) -> Option<Module> {
        let (name, own) = &self.modules[file];
        let mut parts = path.split("::").map(|part| part.trim().to_owned());
        let first = parts.next()?;
        let mut rest: Vec<String> = parts.collect();
        let base = match first.as_str() {
            "crate" => Vec::new(),
            "self" => own.clone(),
            "super" => {
                let more = rest.iter().take_while(|part| *part == "super").count();
                rest.drain(..more);
                own[..own.len().checked_sub(more + 1)?].to_vec()
            }
            _ => {
                if let Some((other, _)) = CRATES.iter().find(|(other, _)| *other == first) {
                    return Some((other, rest));
                }
                let child = [own.as_slice(), &[first]].concat();
                return self
                    .files
                    .contains_key(&(name, child.clone()))
                    .then(|| (*name, [child, rest].concat()));
            }
        };
        Some((name, [base, rest].concat()))
    }

    /// What the `use` lines of a file name: the local name, the target, and whether it is only
    /// re-exported.
    fn used(&self, file: &Path) -> Vec<(String, Module, bool)> {
        let code = &self.code[file];
        let mut used = Vec::new();
        for rest in after(code, "use") {
            let before = code[..code.len() - rest.len() - "use".len()].trim_end();
            let exported = before.ends_with("pub") || before.ends_with(')');
            // `use<'a>` is a bound and `r#use` an identifier.
            let Some(end) = rest.find(';').filter(|_| rest.starts_with(char::is_whitespace)) else {
                continue;
            };
            for path in paths(&rest[..end]) {
                let (path, name) =
                    path.split_once(" as ").unwrap_or((&path, path.rsplit("::").next().unwrap()));
                if let Some(module) = self.absolute(file, path) {
                    used.push((name.trim().to_owned(), module, exported));
                }
            }
        }
        used
    }

    /// The modules that the code of a file names by path, outside `use` lines.
    fn named(&self, file: &Path) -> Vec<Module> {
        let code = &without_uses(&self.code[file]);
        let mut found = Vec::new();
        let words = code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
        for word in words.filter(|word| word.contains("::") && !word.starts_with(':')) {
            let (first, rest) = word.split_once("::").unwrap();
            match self.names[file].get(first).filter(|module| self.files.contains_key(*module)) {
                Some((name, module)) => {
                    let rest = rest.split("::").map(str::to_owned);
                    found.push((*name, module.iter().cloned().chain(rest).collect()));
                }
                None => found.extend(self.absolute(file, word.trim_end_matches(':'))),
            }
        }
        // `pub(in crate::…)` limits visibility; it is not an import.
        let within: BTreeSet<Module> = after(code, "pub")
            .into_iter()
            .filter_map(|rest| rest.strip_prefix("(in ")?.split(')').next())
            .filter_map(|path| self.absolute(file, path))
            .collect();
        found.retain(|module| !within.contains(module));
        found
    }

    /// The file that defines an item.
    fn file_of(&self, (name, path): &Module, exports: usize) -> Option<&PathBuf> {
        let length =
            (0..=path.len()).rev().find(|n| self.files.contains_key(&(*name, path[..*n].to_vec())))?;
        let file = &self.files[&(*name, path[..length].to_vec())];
        let exported = path.get(length).and_then(|item| self.names[file].get(item));
        match exported.filter(|module| exports > 0 && **module != (*name, path.clone())) {
            Some((name, module)) => {
                let rest = path[length + 1..].iter();
                self.file_of(&(name, module.iter().chain(rest).cloned().collect()), exports - 1)
            }
            None => Some(file),
        }
    }

    /// For each file, the files that it imports.
    fn graph(&self) -> BTreeMap<&PathBuf, BTreeSet<&PathBuf>> {
        let imports = |file: &PathBuf| {
            // An item that is both re-exported and used counts as imported.
            let code = without_uses(&self.code[file]);
            let imported = |name: &str, exported: bool| !exported || !after(&code, name).is_empty();
            let used = self.used(file).into_iter().filter(|(name, _, exported)| imported(name, *exported));
            let all = used.map(|(_, module, _)| module).chain(self.named(file));
            all.filter_map(|module| self.file_of(&module, 8)).filter(|other| *other != file).collect()
        };
        self.code.keys().map(|file| (file, imports(file))).collect()
    }
}

/// A cycle through this file, if there is one.
fn ring<'a>(
    file: &'a PathBuf,
    graph: &BTreeMap<&'a PathBuf, BTreeSet<&'a PathBuf>>,
    done: &mut BTreeSet<&'a PathBuf>,
    way: &mut Vec<&'a PathBuf>,
) -> Option<Vec<&'a PathBuf>> {
    if let Some(at) = way.iter().position(|other| *other == file) {
        return Some(way[at..].to_vec());
    }
    if done.contains(file) {
        return None;
    }
    way.push(file);
    let found = graph[file].iter().find_map(|other| ring(other, graph, done, way));
    way.pop();
    done.insert(file);
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(repository()).unwrap().display().to_string()
}

#[test]
fn no_file_imports_one_that_imports_it() {
    let sources = Sources::read();
    let graph = sources.graph();
    let edges: usize = graph.values().map(BTreeSet::len).sum();
    assert!(graph.len() > 250 && edges > 1000, "{} files and {edges} imports were found", graph.len());
    if let Some(path) = std::env::var_os("CADMILL_IMPORTS") {
        std::fs::write(path, drawn(&graph)).unwrap();
    }
    let mut done = BTreeSet::new();
    for file in graph.keys() {
        if let Some(ring) = ring(file, &graph, &mut done, &mut Vec::new()) {
            let ring: Vec<String> = ring.into_iter().map(|file| shown(file)).collect();
            panic!("these import one another: {}", ring.join(" -> "));
        }
    }
}

/// The graph of the folders for Graphviz: the files of one folder are one node, and a folder beside
/// a file of the same name belongs to that file.
fn drawn(graph: &BTreeMap<&PathBuf, BTreeSet<&PathBuf>>) -> String {
    let folder = |file: &Path| {
        let whole = file.with_extension("");
        let place = if whole.is_dir() || file.ends_with("mod.rs") && whole.is_dir() {
            whole
        } else {
            file.parent().unwrap().to_owned()
        };
        shown(&place)
    };
    let mut lines = BTreeSet::new();
    for (file, others) in graph {
        for other in others {
            let (from, to) = (folder(file), folder(other));
            if from != to {
                lines.insert((from, to));
            }
        }
    }
    let mut text =
        "digraph cadmill {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n".to_owned();
    for (from, to) in lines {
        let _ = writeln!(text, "  \"{from}\" -> \"{to}\";");
    }
    text + "}\n"
}

#[test]
fn rings_are_found() {
    let files: Vec<PathBuf> = ["a", "b", "c", "d"].map(PathBuf::from).into();
    let graph = |edges: &[(usize, usize)]| -> BTreeMap<&PathBuf, BTreeSet<&PathBuf>> {
        let of = |n: usize| edges.iter().filter(|(from, _)| *from == n).map(|(_, to)| &files[*to]).collect();
        (0..files.len()).map(|n| (&files[n], of(n))).collect()
    };
    let found = |edges: &[(usize, usize)]| {
        let graph = graph(edges);
        let mut done = BTreeSet::new();
        files.iter().find_map(|file| ring(file, &graph, &mut done, &mut Vec::new())).map(|ring| ring.len())
    };
    assert_eq!(found(&[(0, 1), (1, 2), (2, 1)]), Some(2));
    assert_eq!(found(&[(0, 1), (1, 2), (2, 3), (3, 0)]), Some(4));
    assert_eq!(found(&[(0, 1), (0, 2), (1, 3), (2, 3)]), None);
}

#[test]
fn code_is_told_from_comments_texts_and_tests() {
    let source = "use a::b; // use c::d;\nconst X: &str = \"use e::f;\"; const Y: &str = r#\"use g;\"#;\n\
        fn f<'a>(c: char) -> bool { c == '\"' || c == '\\'' }\n#[cfg(test)]\nmod tests { use h::i; fn g() {} }\nuse j;";
    let code = code_of(source);
    let used: Vec<&str> =
        after(&code, "use").into_iter().map(|rest| rest[..rest.find(';').unwrap()].trim()).collect();
    assert_eq!(used, ["a::b", "j"]);
    let mut all = paths("crate::a::{self, b::{C, D as E}, f}");
    all.sort();
    assert_eq!(all, ["crate::a::b::C", "crate::a::b::D as E", "crate::a::f", "crate::a::self"]);
}
