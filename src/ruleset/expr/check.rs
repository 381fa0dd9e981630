//! stub
use super::*;
pub fn check_condition(_: &Ast, _: &dyn Scope, _: &mut Vec<Problem>) -> Option<Typed> {
    None
}
