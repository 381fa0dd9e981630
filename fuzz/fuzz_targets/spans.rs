//! What every problem must hold: its bytes lie in its file, on the borders of characters, and its line and
//! column are those that counting finds.

use std::sync::Arc;

use crate::report::{Problem, SourceFile, place, render, sorted, to_json};

/// Fails where a problem is not where it says it is.
pub fn check(problems: &[Problem]) {
    let json = to_json(problems);
    let told = sorted(problems);
    assert_eq!(json.lines().count(), told.len());
    for (problem, line) in told.into_iter().zip(json.lines()) {
        assert!(!problem.message.is_empty() && problem.help.as_deref() != Some(""), "{problem:?}");
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let Some((file, span)) = &problem.at else { continue };
        spanned(file, span, problem);
        let (row, column) = counted(&file.text, span.start);
        assert_eq!((line["line"].as_u64(), line["column"].as_u64()), (Some(row), Some(column)), "{problem:?}");
        assert_eq!(place(file, span.start), (row as usize, column as usize));
        if let Some(fix) = &problem.fix {
            spanned(file, &fix.span, problem);
            assert!(file.text.get(fix.span.clone()) != Some(fix.with.as_str()), "a fix that changes nothing: {problem:?}");
        }
        names_what_it_shows(problem, file.text.get(span.clone()).unwrap_or_default());
    }
    // A short one: drawing is tried, not measured.
    render(problems.get(..problems.len().min(20)).unwrap_or_default(), false);
}

fn spanned(file: &Arc<SourceFile>, span: &std::ops::Range<usize>, problem: &Problem) {
    assert!(span.start <= span.end, "{problem:?}");
    assert!(file.text.get(span.clone()).is_some(), "{span:?} of {}: {}", file.text.len(), problem.message);
}

fn counted(text: &str, byte: usize) -> (u64, u64) {
    let before = &text[..byte];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() as u64 + 1, before[line_start..].chars().count() as u64 + 1)
}

/// An unknown word is the one that is underlined. Where it is quoted, escaped or spread it may be written otherwise.
fn names_what_it_shows(problem: &Problem, shown: &str) {
    let Some(rest) = problem.message.strip_prefix("unknown ") else { return };
    let Some((_, rest)) = rest.split_once('`') else { return };
    let Some(word) = rest.strip_suffix('`') else { return };
    let is_plain = !shown.contains(['"', '\'', '\\', '\n', '\r', ' ', '(']) && !word.contains([' ', '(']);
    if is_plain && problem.code != "R012" {
        assert!(shown == word || shown.ends_with(word) || word.ends_with(shown), "{shown:?} is not {word:?}: {problem:?}");
    }
}
