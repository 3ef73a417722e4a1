//! Rules about one Rust file.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::Finding;
use super::ratchet::Long;
use super::source::Source;

/// A file has at most this many lines: more than one can keep in mind.
const FILE_LINES_MAX: usize = 800;

/// From here on it is time to split the file.
const FILE_LINES_WARN: usize = 600;

/// A function has at most this many lines, its signature included: one screen.
const FUNCTION_LINES_MAX: usize = 70;

/// A trait has at most this many methods: more is not one thing to implement.
const TRAIT_METHODS_MAX: usize = 12;

/// Where all goes that was not thought about.
const NAMES_BANNED: &[&str] = &["helper", "helpers", "misc"];

/// The same, as beginnings.
const NAME_STARTS_BANNED: &[&str] = &["util", "common"];

/// Marks of unfinished work; each is cut in two so that this file does not carry them.
const MARKS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];

/// Every rule that reads one file.
pub const RULES: &[fn(&Source) -> Vec<Finding>] =
    &[size, head, ascii, marks, macros, unwraps, traits, globs, modules, bans];

fn size(source: &Source) -> Vec<Finding> {
    let lines = source.text.lines().count();
    if lines <= FILE_LINES_WARN {
        return Vec::new();
    }
    let message = format!("{lines} lines, at most {FILE_LINES_MAX}");
    let warning = lines <= FILE_LINES_MAX;
    vec![Finding { warning, ..Finding::new(&source.path, 0, message) }]
}

/// `foo/tests.rs` says by its place what it is for.
fn head(source: &Source) -> Vec<Finding> {
    if source.text.starts_with("//!") || source.path.ends_with("/tests.rs") {
        return Vec::new();
    }
    vec![Finding::new(&source.path, 1, "does not begin with `//!` that says what it is for")]
}

fn ascii(source: &Source) -> Vec<Finding> {
    let lines = source.text.lines().enumerate().filter(|(_, line)| !line.is_ascii());
    lines.map(|(at, _)| Finding::new(&source.path, at + 1, "is not ASCII; use \\u{...}")).collect()
}

/// Marks in comments and names.
fn marks(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, line) in source.text.lines().enumerate() {
        let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|word| MARKS.contains(word) && !source.is_test(at + 1)) {
            found.push(Finding::new(
                &source.path,
                at + 1,
                format!("{word}: do it or file an issue"),
            ));
        }
    }
    found
}

/// Macros that stand for code which is not there.
fn macros(source: &Source) -> Vec<Finding> {
    let tokens = source.tokens();
    let pairs = tokens.windows(2).filter_map(|pair| match pair {
        [(line, name), (_, mark)] if mark == "!" => Some((*line, name.as_str())),
        _ => None,
    });
    let banned = pairs
        .filter(|(line, name)| matches!(*name, "todo" | "unimplemented") && !source.is_test(*line));
    banned
        .map(|(line, name)| Finding::new(&source.path, line, format!("{name}! is not code")))
        .collect()
}

/// Clippy sees these too, except in macros and behind conditions that are off.
fn unwraps(source: &Source) -> Vec<Finding> {
    let tokens = source.tokens();
    let calls = tokens.windows(3).filter_map(|three| match three {
        [(_, dot), (line, name), (_, open)] if dot == "." && name == "unwrap" && open == "(" => {
            Some(*line)
        }
        _ => None,
    });
    let message = "unwrap outside tests: return an error, or expect(\"the invariant\")";
    calls
        .filter(|line| !source.is_test(*line))
        .map(|line| Finding::new(&source.path, line, message))
        .collect()
}

fn traits(source: &Source) -> Vec<Finding> {
    let mut finder = Shapes::default();
    finder.visit_file(&source.syntax);
    let wide = finder.traits.into_iter().filter(|(_, _, methods)| *methods > TRAIT_METHODS_MAX);
    wide.map(|(line, name, methods)| {
        let message = format!("trait {name} has {methods} methods, at most {TRAIT_METHODS_MAX}");
        Finding::new(&source.path, line, message)
    })
    .collect()
}

/// The functions of a file that are longer than the limit, for the ratchet to judge.
pub fn long_functions(source: &Source) -> Vec<Long> {
    let mut finder = Shapes::default();
    finder.visit_file(&source.syntax);
    let long = finder.functions.into_iter().filter(|(_, _, lines)| *lines > FUNCTION_LINES_MAX);
    long.map(|(line, function, lines)| Long { path: source.path.clone(), line, function, lines })
        .collect()
}

fn globs(source: &Source) -> Vec<Finding> {
    let mut finder = Shapes::default();
    finder.visit_file(&source.syntax);
    let lines = finder.globs.into_iter().filter(|line| !source.is_test(*line));
    lines.map(|line| Finding::new(&source.path, line, "glob import: name what is used")).collect()
}

fn modules(source: &Source) -> Vec<Finding> {
    let mut finder = Shapes::default();
    finder.visit_file(&source.syntax);
    let banned = finder.modules.into_iter().filter(|(_, name)| is_banned(name));
    banned.map(|(line, name)| Finding::new(&source.path, line, bad_name(&name))).collect()
}

/// The clock, sleeping and spawning belong to `env`, whatever a lint attribute says.
fn bans(source: &Source) -> Vec<Finding> {
    if source.crate_name() == "env" {
        return Vec::new();
    }
    let tokens = source.tokens();
    let lifted = tokens
        .iter()
        .filter(|(_, name)| name == "disallowed_methods" || name == "disallowed_types");
    let message = "only crate env may lift the ban on the clock, sleeping and spawning";
    lifted.map(|(line, _)| Finding::new(&source.path, *line, message)).collect()
}

/// The name of the file, its folders and its crate.
pub fn name(path: &str) -> Option<Finding> {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    let bad = stem.split('/').find(|part| is_banned(part))?;
    Some(Finding::new(path, 0, bad_name(bad)))
}

fn is_banned(name: &str) -> bool {
    NAMES_BANNED.contains(&name) || NAME_STARTS_BANNED.iter().any(|start| name.starts_with(start))
}

fn bad_name(name: &str) -> String {
    format!("`{name}` says nothing: name the module for what it does")
}

/// What the rules above measure, gathered in one walk.
#[derive(Default)]
struct Shapes {
    /// Line, name, lines.
    functions: Vec<(usize, String, usize)>,
    /// Line, name, methods.
    traits: Vec<(usize, String, usize)>,
    globs: Vec<usize>,
    modules: Vec<(usize, String)>,
}

impl Shapes {
    /// From the first word of the signature to the closing brace: attributes and documentation
    /// do not make a function longer.
    fn function(&mut self, name: &syn::Ident, start: Span, end: Span) {
        let lines = end.end().line + 1 - start.start().line;
        self.functions.push((start.start().line, name.to_string(), lines));
    }
}

impl<'ast> Visit<'ast> for Shapes {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig.ident, item.sig.span(), item.block.span());
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig.ident, item.sig.span(), item.block.span());
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig.ident, item.sig.span(), block.span());
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        let methods =
            item.items.iter().filter(|item| matches!(item, syn::TraitItem::Fn(_))).count();
        self.traits.push((item.ident.span().start().line, item.ident.to_string(), methods));
        visit::visit_item_trait(self, item);
    }

    fn visit_use_glob(&mut self, glob: &'ast syn::UseGlob) {
        self.globs.push(glob.star_token.span().start().line);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.modules.push((item.ident.span().start().line, item.ident.to_string()));
        visit::visit_item_mod(self, item);
    }
}

#[cfg(test)]
mod tests;
