//! One parsed Rust file, and which of its lines are test code.

use std::ops::RangeInclusive;

use anyhow::Result;
use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, Meta};

/// A Rust file.
pub struct Source {
    /// Of the tree, with `/`.
    pub path: String,
    /// What the file holds.
    pub text: String,
    /// The same, parsed.
    pub syntax: syn::File,
    /// All of it, or only some lines, is compiled for tests alone.
    test: bool,
    test_lines: Vec<RangeInclusive<usize>>,
    test_modules: Vec<String>,
}

impl Source {
    /// Parses a file; the path tells whether all of it is test code.
    pub fn parse(path: &str, text: &str) -> Result<Self> {
        let syntax = syn::parse_file(text)?;
        let mut finder = Finder::default();
        finder.visit_file(&syntax);
        let test = path.ends_with("/tests.rs") || path.contains("/tests/");
        let (path, text) = (path.to_owned(), text.to_owned());
        let Finder { lines: test_lines, modules: test_modules } = finder;
        Ok(Self { path, text, syntax, test, test_lines, test_modules })
    }

    /// Where the files are that this one declares as `#[cfg(test)] mod name;`: they are test code
    /// under whatever name.
    pub fn test_files(&self) -> impl Iterator<Item = String> {
        let stem = self.path.trim_end_matches(".rs");
        // The children of `lib.rs`, `main.rs` and `mod.rs` are beside it.
        let folder = match stem.rsplit_once('/') {
            Some((folder, "lib" | "main" | "mod")) => folder,
            _ => stem,
        };
        self.test_modules.iter().map(move |name| format!("{folder}/{name}.rs"))
    }

    /// Takes the whole file for test code.
    pub fn mark_test(&mut self) {
        self.test = true;
    }

    /// Whether a line, counted from 1, is compiled for tests alone.
    pub fn is_test(&self, line: usize) -> bool {
        self.test || self.test_lines.iter().any(|range| range.contains(&line))
    }

    /// The crate's folder name.
    pub fn crate_name(&self) -> &str {
        self.path.split('/').nth(1).unwrap_or_default()
    }

    /// Every token with its line, also those inside macros, in order.
    pub fn tokens(&self) -> Vec<(usize, String)> {
        let mut tokens = Vec::new();
        if let Ok(stream) = self.text.parse::<TokenStream>() {
            flatten(stream, &mut tokens);
        }
        tokens
    }
}

fn flatten(stream: TokenStream, into: &mut Vec<(usize, String)>) {
    for tree in stream {
        let line = tree.span().start().line;
        match tree {
            // Groups are entered; their closing side is of no use to any rule.
            TokenTree::Group(group) => {
                into.push((line, "(".to_owned()));
                flatten(group.stream(), into);
            }
            TokenTree::Ident(ident) => into.push((line, ident.to_string())),
            TokenTree::Punct(punct) => into.push((line, punct.as_char().to_string())),
            TokenTree::Literal(_) => into.push((line, "\"\"".to_owned())),
        }
    }
}

/// Collects the lines of `#[cfg(test)]` items and of `#[test]` functions.
#[derive(Default)]
struct Finder {
    lines: Vec<RangeInclusive<usize>>,
    modules: Vec<String>,
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes: &[Attribute] = match item {
            Item::Const(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Static(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => &[],
        };
        if attributes.iter().any(is_test_attribute) {
            let span = item.span();
            self.lines.push(span.start().line..=span.end().line);
            if let Item::Mod(module) = item
                && module.content.is_none()
            {
                self.modules.push(module.ident.to_string());
            }
        } else {
            visit::visit_item(self, item);
        }
    }
}

fn is_test_attribute(attribute: &Attribute) -> bool {
    match &attribute.meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.tokens.to_string();
            condition == "test"
                || condition.starts_with("all (test")
                || condition.starts_with("all(test")
        }
        _ => false,
    }
}
