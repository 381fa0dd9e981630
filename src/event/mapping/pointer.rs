//! Pointers into a foreign record: JSON pointers (RFC 6901) and one step more.
//!
//! Guarantees: what is read is written back by [`std::fmt::Display`]; nothing else is a pointer. The step
//! more is `*name=value`: the first object of a list whose `name` is `value`. Reads no record.

use std::fmt;

/// Steps of one pointer, at most.
pub(super) const STEPS_MAX: usize = 16;

/// A place in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pointer {
    pub steps: Vec<Step>,
}

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// The value of a name in an object, or the item of a list where it is a number.
    Name(String),
    /// The first object of a list whose `name` is the text `value`.
    Pick { name: String, value: String },
}

impl Pointer {
    /// Reads one; the error says what is wrong.
    pub fn parse(text: &str) -> Result<Pointer, &'static str> {
        let Some(rest) = text.strip_prefix('/') else { return Err("a pointer begins with `/`, as in `/user/id`") };
        let steps: Vec<Step> = rest.split('/').map(step).collect::<Result<_, _>>()?;
        if steps.len() > STEPS_MAX {
            return Err("a pointer has at most 16 steps");
        }
        Ok(Pointer { steps })
    }

    /// The pointer to a field of ours, such as `geo.country`, in an event that stands here.
    pub fn down(&self, field: &str) -> Pointer {
        let steps = field.split('.').map(|name| Step::Name(name.to_owned()));
        Pointer { steps: self.steps.iter().cloned().chain(steps).collect() }
    }
}

fn step(text: &str) -> Result<Step, &'static str> {
    if let Some(pick) = text.strip_prefix('*') {
        return match pick.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                Ok(Step::Pick { name: unescaped(name)?, value: unescaped(value)? })
            }
            _ => Err("a step with `*` is `*name=value`: the first object of a list whose `name` is `value`"),
        };
    }
    unescaped(text).map(Step::Name)
}

/// `~1` is `/` and `~0` is `~`.
fn unescaped(text: &str) -> Result<String, &'static str> {
    let mut pieces = text.split('~');
    let mut whole = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (character, rest) = match piece.as_bytes().first() {
            Some(b'0') => ('~', piece.get(1..)),
            Some(b'1') => ('/', piece.get(1..)),
            _ => return Err("in a pointer `~` is written `~0`, and a `/` that belongs to a name is `~1`"),
        };
        whole.push(character);
        whole.push_str(rest.unwrap_or_default());
    }
    Ok(whole)
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escaped = |text: &str| text.replace('~', "~0").replace('/', "~1");
        for step in &self.steps {
            match step {
                Step::Name(name) => write!(f, "/{}", escaped(name))?,
                Step::Pick { name, value } => write!(f, "/*{}={}", escaped(name), escaped(value))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_read_and_written_back() {
        for text in ["/a", "/a/0/b", "/", "//", "/a~1b/m~0n", "/target/*type=User/id", "/x/*a~1b=c~0d", "/值"] {
            let pointer = Pointer::parse(text).expect("a pointer");
            assert_eq!(pointer.to_string(), text);
        }
        let name = |text: &str| match Pointer::parse(text).expect("a pointer").steps.pop() {
            Some(Step::Name(name)) => name,
            other => panic!("{other:?}"),
        };
        // The examples of RFC 6901, section 5.
        assert_eq!((name("/a~1b").as_str(), name("/m~0n").as_str(), name("/").as_str()), ("a/b", "m~n", ""));
        assert_eq!(name("/~01"), "~1");
    }

    #[test]
    fn what_is_no_pointer_says_why() {
        for text in ["", "a", "a/b", "/a~", "/a~2", "/*x", "/*=v", &"/a".repeat(17)] {
            assert!(Pointer::parse(text).is_err(), "{text}");
        }
    }
}
