//! The functions of the language: their names, what they take and what they give.
//!
//! Guarantees: one list is the truth for the checker, "did you mean" and the documentation. What a function
//! computes is in `compile.rs`.

/// A function. `matches` is not among them: its pattern is part of its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Function {
    /// Kilometres between two points.
    DistanceKm,
    /// Kilometres per hour from one point to the other in a duration; infinite over no time, 0 where the
    /// points are the same.
    SpeedKmh,
    /// The text in lower case.
    Lower,
    /// Does the text start with the other?
    StartsWith,
    /// Does the text end with the other?
    EndsWith,
    /// Does the text contain the other?
    Contains,
    /// What stands after the last `@`, in lower case; missing without one.
    Domain,
    /// Hour of the day in a zone, 0 to 23.
    Hour,
    /// Day of the week in a zone, 1 (Monday) to 7, as ISO 8601 numbers them.
    Weekday,
    /// Day of the month in a zone, 1 to 31.
    DayOfMonth,
    /// Without its sign.
    Abs,
    /// The least.
    Min,
    /// The largest.
    Max,
}
