//! stub
use super::*;
pub fn parse(_: &Snippet<'_>, _: &mut Vec<Problem>) -> Option<Ast> {
    None
}
