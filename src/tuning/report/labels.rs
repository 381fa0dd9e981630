//! Names beside the points of a plot, laid out so that none lies over another, over a point or outside the picture.
//!
//! Guarantees: points at one place share a name; the first points are named first; a name is nearer to its own point
//! than to any other, or a line leads to it; what finds no room near its point is left out, for pointing at the point and the table tell it. Knows fonts only by how wide their letters are at most.

/// Height of a name, units of the picture.
pub const HEIGHT: f64 = 12.0;
/// Width of a letter at most, and of one of Chinese.
const LETTER: f64 = 6.4;
const WIDE_LETTER: f64 = 11.5;
/// Points nearer than this are at one place.
const PLACE: f64 = 4.0;
/// Room that a point takes, from its middle.
const POINT: f64 = 6.0;
/// How far from its point a name is tried, from the point's middle to the name's edge.
const AWAY: [f64; 5] = [8.0, 18.0, 30.0, 44.0, 60.0];
/// From here on a line leads from the point to its name.
const LED_FROM: f64 = 15.0;
/// Names that stand together at one place; of more the number is told.
const TOGETHER_MAX: usize = 4;

/// A rectangle, units of the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    /// Its left edge.
    pub left: f64,
    /// Its upper edge.
    pub top: f64,
    /// Its right edge.
    pub right: f64,
    /// Its lower edge.
    pub bottom: f64,
}

impl Area {
    fn around(x: f64, y: f64, half_width: f64, half_height: f64) -> Self {
        Area { left: x - half_width, right: x + half_width, top: y - half_height, bottom: y + half_height }
    }

    /// Whether two share more than an edge.
    pub fn overlaps(&self, other: &Area) -> bool {
        self.left < other.right && other.left < self.right && self.top < other.bottom && other.top < self.bottom
    }

    /// How far a place is from its nearest edge; 0 inside.
    fn distance(&self, x: f64, y: f64) -> f64 {
        (x - x.clamp(self.left, self.right)).hypot(y - y.clamp(self.top, self.bottom))
    }

    /// Whether another lies in it.
    pub fn holds(&self, other: &Area) -> bool {
        self.left <= other.left && self.right >= other.right && self.top <= other.top && self.bottom >= other.bottom
    }
}

/// A name with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// What it says.
    pub text: String,
    /// Where it lies.
    pub area: Area,
    /// The point it belongs to, where a line has to say so.
    pub led_from: Option<(f64, f64)>,
}

/// Lays out the names of points, inside `frame`.
pub fn laid_out(points: &[(f64, f64, String)], frame: Area) -> Vec<Label> {
    let mut places: Vec<(f64, f64, Vec<&str>)> = Vec::new();
    for (x, y, name) in points {
        let is_near = |at: &&mut (f64, f64, Vec<&str>)| (at.0 - x).hypot(at.1 - y) < PLACE;
        match places.iter_mut().find(is_near) {
            Some((.., names)) => names.push(name),
            None => places.push((*x, *y, vec![name])),
        }
    }
    let dots: Vec<Area> = points.iter().map(|(x, y, _)| Area::around(*x, *y, POINT, POINT)).collect();
    let mut labels: Vec<Label> = Vec::new();
    for (x, y, names) in places {
        let text = together(&names);
        let is_free = |area: &Area| {
            let is_taken = dots.iter().chain(labels.iter().map(|label| &label.area)).any(|other| area.overlaps(other));
            frame.holds(area) && !is_taken
        };
        let is_nearest = |area: &Area| {
            let others = points.iter().filter(|(other_x, other_y, _)| (other_x - x).hypot(other_y - y) >= PLACE);
            let own = area.distance(x, y);
            others.map(|(x, y, _)| area.distance(*x, *y)).all(|other| other > own)
        };
        let mut found = AWAY.iter().flat_map(|away| around(x, y, *away, width(&text)).map(|area| (*away, area)));
        let fits = |(away, area): &(f64, Area)| is_free(area) && (*away >= LED_FROM || is_nearest(area));
        if let Some((away, area)) = found.find(fits) {
            labels.push(Label { text, area, led_from: (away >= LED_FROM).then_some((x, y)) });
        }
    }
    labels
}

/// The places around a point, the best first: above, below, right, left, then between them.
fn around(x: f64, y: f64, away: f64, width: f64) -> [Area; 8] {
    let (over, beside) = (away + HEIGHT / 2.0, away + width / 2.0);
    let near = beside.min(away + width / 3.0);
    let at = [
        (0.0, -over),
        (0.0, over),
        (beside, 0.0),
        (-beside, 0.0),
        (near, -over),
        (-near, -over),
        (near, over),
        (-near, over),
    ];
    at.map(|(dx, dy)| Area::around(x + dx, y + dy, width / 2.0, HEIGHT / 2.0))
}

/// How wide a text is, at most.
pub fn width(text: &str) -> f64 {
    text.chars().map(|c| if c.is_ascii() { LETTER } else { WIDE_LETTER }).sum()
}

fn together(names: &[&str]) -> String {
    let more = names.len().saturating_sub(TOGETHER_MAX);
    let named: Vec<&str> = names.iter().take(TOGETHER_MAX).copied().collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", named.join(" · "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRAME: Area = Area { left: 0.0, top: 0.0, right: 400.0, bottom: 220.0 };

    #[test]
    fn one_point_has_its_name_above_it_and_points_of_one_place_share_one() {
        let named = |points: &[(f64, f64, &str)]| {
            let points: Vec<_> = points.iter().map(|(x, y, name)| (*x, *y, (*name).to_owned())).collect();
            laid_out(&points, FRAME)
        };
        let labels = named(&[(100.0, 100.0, "6")]);
        assert_eq!(labels.len(), 1);
        assert!(labels[0].area.bottom <= 92.0 && labels[0].area.bottom > 85.0 && labels[0].led_from.is_none());
        let labels = named(&[(100.0, 100.0, "6, now"), (101.0, 100.0, "7"), (200.0, 100.0, "8")]);
        let texts: Vec<&str> = labels.iter().map(|label| label.text.as_str()).collect();
        assert_eq!(texts, ["6, now · 7", "8"]);
        let many: Vec<(f64, f64, &str)> = (0..6).map(|_| (50.0, 50.0, "1")).collect();
        assert_eq!(named(&many)[0].text, "1 · 1 · 1 · 1 and 2 more");
        let corner = named(&[(0.0, 0.0, "corner")]);
        assert!(corner.len() == 1 && corner[0].area.left >= 0.0 && corner[0].area.top >= 0.0, "{corner:?}");
    }

    proptest! {
        #[test]
        fn no_name_lies_over_another_or_a_point_or_outside(
            points in prop::collection::vec((0f64..400.0, 0f64..220.0, "[0-9a-z.,]{1,14}"), 1..17),
        ) {
            let labels = laid_out(&points, FRAME);
            for (at, label) in labels.iter().enumerate() {
                prop_assert!(FRAME.holds(&label.area), "{label:?}");
                let others = labels.iter().skip(at + 1).any(|other| other.area.overlaps(&label.area));
                prop_assert!(!others, "{label:?} lies over another");
                let dot = |(x, y, _): &(f64, f64, String)| Area::around(*x, *y, POINT, POINT);
                prop_assert!(!points.iter().any(|point| dot(point).overlaps(&label.area)), "{label:?} lies over a point");
                let mut named = points.iter().filter(|(.., name)| label.text.split(" · ").any(|text| text == name));
                let nearest = |x: f64, y: f64| points.iter().all(|p| label.area.distance(p.0, p.1) >= label.area.distance(x, y));
                let is_clear = label.led_from.is_some() || named.any(|(x, y, _)| nearest(*x, *y));
                prop_assert!(is_clear || label.text.contains(" more"), "{label:?} is nearer to another point");
            }
        }

        #[test]
        fn few_points_are_all_named(points in prop::collection::vec((0f64..400.0, 0f64..220.0, "[0-9]{1,2}"), 1..7)) {
            let named: usize = laid_out(&points, FRAME).iter().map(|label| label.text.split(" · ").count()).sum();
            prop_assert_eq!(named, points.len());
        }
    }
}
