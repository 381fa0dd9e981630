//! An expression in one spelling: without comments, blanks and needless brackets, each literal by its value.
//!
//! Guarantees: two texts with one spelling mean the same where their names do. Knows no names: whoever asks says
//! what each stands for.

use super::ast::{Ast, Expr, Kind, Set};

impl Ast {
    /// The spelling. `name` gives what a dotted name or `lists.NAME` is written as.
    pub fn spelled(&self, name: &mut dyn FnMut(&str) -> String) -> String {
        let mut text = String::new();
        spell(&self.root, name, &mut text);
        text
    }
}

fn spell(expr: &Expr, name: &mut dyn FnMut(&str) -> String, out: &mut String) {
    let mut node = |word: &str, parts: &[&Expr]| {
        out.push('(');
        out.push_str(word);
        for part in parts {
            out.push(' ');
            spell(part, name, out);
        }
        out.push(')');
    };
    match &expr.kind {
        Kind::Name(path) => out.push_str(&name(path)),
        Kind::Not(a) => node("not", &[a]),
        Kind::Negate(a) => node("-", &[a]),
        Kind::And(parts) => node("and", &parts.iter().collect::<Vec<_>>()),
        Kind::Or(parts) => node("or", &parts.iter().collect::<Vec<_>>()),
        Kind::Broken(parts) => node("?", &parts.iter().collect::<Vec<_>>()),
        Kind::Call { function, arguments, .. } => node(function, &arguments.iter().collect::<Vec<_>>()),
        Kind::Compare(how, a, b) => node(how.symbol(), &[a, b]),
        Kind::Arithmetic(how, a, b) => node(&format!("{how:?}"), &[a, b]),
        Kind::Coalesce(a, b) => node("??", &[a, b]),
        Kind::IsMissing(a, is_not) => node(if *is_not { "there" } else { "missing" }, &[a]),
        Kind::In(a, is_not, set) => {
            out.push_str(if *is_not { "(not-in " } else { "(in " });
            spell(a, name, out);
            match set {
                Set::List(path, _) => {
                    out.push(' ');
                    out.push_str(&name(path));
                }
                Set::Literals(literals) => {
                    // In which order a set stands means nothing.
                    let mut spelled: Vec<String> = literals.iter().map(|one| spelled(one, name)).collect();
                    spelled.sort_unstable();
                    out.push_str(&format!(" [{}]", spelled.join(" ")));
                }
                Set::Broken => {}
            }
            out.push(')');
        }
        literal => out.push_str(&format!("{literal:?}")),
    }
}

fn spelled(expr: &Expr, name: &mut dyn FnMut(&str) -> String) -> String {
    let mut text = String::new();
    spell(expr, name, &mut text);
    text
}
