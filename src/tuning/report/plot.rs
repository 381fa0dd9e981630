//! Plots as SVG: lines over days, bars over scores, points of recall against alerts a day.
//!
//! Guarantees: no script and nothing from elsewhere; colours come from the page's style, so that light and dark both
//! work; all text is escaped; equal input gives equal bytes.

use std::fmt::Write;

use super::labels::{self, Area};

/// The picture, units of its own: it is scaled to the page.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 260.0;
/// Room for the labels around it.
const LEFT: f64 = 44.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 40.0;
/// Lines across, about.
const TICKS: f64 = 4.0;
/// Below so many points each is drawn.
const MARKED_MAX: usize = 60;
/// So many points have their names beside them.
const NAMED_MAX: usize = 16;
/// Words under the axis, at most.
const WORDS_MAX: usize = 5;
/// How much larger they are than names beside points, and how far apart at least.
const WORD_SIZE: f64 = 1.2;
const WORDS_APART: f64 = 8.0;

/// A row of points with the class that colours it, `old` or `new`.
#[derive(Debug, Clone)]
pub struct Series {
    /// The class.
    pub class: &'static str,
    /// Where each stands, and what it says when it is pointed at.
    pub points: Vec<(f64, f64, String)>,
}

/// What stands along an axis.
#[derive(Debug, Clone)]
pub struct Axes {
    /// Under the picture.
    pub x: &'static str,
    /// What is read upwards; spoken, not drawn.
    pub y: &'static str,
    /// Where the x-axis ends; its beginning is 0.
    pub x_max: f64,
    /// Where the y-axis ends, at least; its beginning is 0.
    pub y_max: f64,
    /// The y-axis is a part of one.
    pub is_percent: bool,
    /// Words at places of the x-axis, in place of numbers.
    pub words: Vec<(f64, String)>,
}

/// Lines through points.
pub fn lines(axes: &Axes, all: &[Series]) -> String {
    let mut plot = Plot::new(axes);
    for series in all {
        let mut path = String::new();
        for (at, (x, y, _)) in series.points.iter().enumerate() {
            let command = if at == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{command}{:.1} {:.1}", plot.x(*x), plot.y(*y));
        }
        let _ = write!(plot.svg, "<path class=\"line {}\" d=\"{path}\"/>", series.class);
        if series.points.len() <= MARKED_MAX {
            series.points.iter().for_each(|point| plot.dot(series.class, point));
        }
    }
    plot.end()
}

/// Points without a line between them; where they are few each is named by what it says up to the first colon.
pub fn dots(axes: &Axes, all: &[Series]) -> String {
    let mut plot = Plot::new(axes);
    let points = || all.iter().flat_map(|series| &series.points);
    if points().count() <= NAMED_MAX {
        let named = |(x, y, says): &(f64, f64, String)| {
            (plot.x(*x), plot.y(*y), says.split(':').next().unwrap_or_default().to_owned())
        };
        let named: Vec<(f64, f64, String)> = points().map(named).collect();
        plot.names(&named);
    }
    for series in all {
        series.points.iter().for_each(|point| plot.dot(series.class, point));
    }
    plot.end()
}

/// Bars of each series side by side; `x` counts places.
pub fn bars(axes: &Axes, all: &[Series]) -> String {
    drawn_bars(axes, all, all.len())
}

/// Bars of which each place has one, of whatever series.
pub fn bars_of_one(axes: &Axes, all: &[Series]) -> String {
    drawn_bars(axes, all, 1)
}

fn drawn_bars(axes: &Axes, all: &[Series], a_place: usize) -> String {
    let mut plot = Plot::new(axes);
    let place = (plot.x(1.0) - plot.x(0.0)).max(1.0);
    let width = place * 0.8 / a_place.max(1) as f64;
    for (number, series) in all.iter().enumerate() {
        let number = number % a_place.max(1);
        for (x, y, says) in series.points.iter().filter(|(_, y, _)| *y > 0.0) {
            let left = plot.x(*x) + place * 0.1 + width * number as f64;
            let (top, bottom) = (plot.y(*y), plot.y(0.0));
            let height = (bottom - top).max(1.0);
            let _ = write!(
                plot.svg,
                "<rect class=\"bar {}\" x=\"{left:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height:.1}\">\
                 <title>{}</title></rect>",
                series.class,
                bottom - height,
                escaped(says)
            );
        }
    }
    plot.end()
}

struct Plot {
    svg: String,
    x_max: f64,
    y_max: f64,
}

impl Plot {
    fn new(axes: &Axes) -> Self {
        let step = step(axes.y_max);
        let y_max = if axes.is_percent { 1.0 } else { ((axes.y_max / step).ceil() * step).max(step) };
        let mut plot = Plot { svg: String::new(), x_max: axes.x_max.max(f64::MIN_POSITIVE), y_max };
        let _ = write!(
            plot.svg,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{} by {}\">",
            escaped(axes.y),
            escaped(axes.x)
        );
        plot.across(axes, if axes.is_percent { 0.25 } else { step });
        plot.along(axes);
        plot
    }

    fn across(&mut self, axes: &Axes, step: f64) {
        let mut value = 0.0;
        while value <= self.y_max + step / 1000.0 {
            let y = self.y(value);
            let label = if axes.is_percent { format!("{:.0} %", value * 100.0) } else { short(value, step) };
            let _ = write!(
                self.svg,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{:.1}\"/>\
                 <text class=\"y\" x=\"{:.1}\" y=\"{:.1}\">{label}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0
            );
            value += step;
        }
    }

    fn along(&mut self, axes: &Axes) {
        let step = step(axes.x_max);
        let numbers = || {
            let count = (axes.x_max / step + 1e-9).floor() as u32;
            (0..=count).map(|n| (f64::from(n) * step, short(f64::from(n) * step, step))).collect()
        };
        let words: Vec<(f64, String)> = if axes.words.is_empty() { numbers() } else { axes.words.clone() };
        // As many as stand beside each other.
        let widest = words.iter().map(|(_, word)| labels::width(word) * WORD_SIZE).fold(1.0, f64::max);
        let fitting = (((WIDTH - LEFT - RIGHT) / (widest + WORDS_APART)) as usize).clamp(1, WORDS_MAX);
        let every = words.len().div_ceil(fitting).max(1);
        for (x, word) in words.iter().step_by(every) {
            let (x, y) = (self.x(*x), HEIGHT - BOTTOM + 16.0);
            let _ = write!(self.svg, "<text class=\"x\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escaped(word));
        }
        let (x, y) = ((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 6.0);
        let _ = write!(self.svg, "<text class=\"x name\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escaped(axes.x));
    }

    /// Names of points, and a line to each that stands away from its point.
    fn names(&mut self, points: &[(f64, f64, String)]) {
        let frame = Area { left: LEFT, top: 0.0, right: WIDTH, bottom: HEIGHT - BOTTOM - 1.0 };
        for label in labels::laid_out(points, frame) {
            let (x, y) = ((label.area.left + label.area.right) / 2.0, (label.area.top + label.area.bottom) / 2.0);
            if let Some((from_x, from_y)) = label.led_from {
                let (to_x, to_y) =
                    (from_x.clamp(label.area.left, label.area.right), from_y.clamp(label.area.top, label.area.bottom));
                let _ = write!(self.svg, "<path class=\"lead\" d=\"M{from_x:.1} {from_y:.1}L{to_x:.1} {to_y:.1}\"/>");
            }
            let (y, name) = (y + 4.0, escaped(&label.text));
            let _ = write!(self.svg, "<text class=\"beside\" x=\"{x:.1}\" y=\"{y:.1}\">{name}</text>");
        }
    }

    fn dot(&mut self, class: &str, (x, y, says): &(f64, f64, String)) {
        let (x, y) = (self.x(*x), self.y(*y));
        let radius = if class.contains("now") { 6 } else { 3 };
        let says = escaped(says);
        let _ = write!(
            self.svg,
            "<circle class=\"dot {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"><title>{says}</title></circle>"
        );
    }

    fn x(&self, x: f64) -> f64 {
        LEFT + (x / self.x_max).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, y: f64) -> f64 {
        HEIGHT - BOTTOM - (y / self.y_max).clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM)
    }

    fn end(mut self) -> String {
        self.svg.push_str("</svg>");
        self.svg
    }
}

/// A step of 1, 2 or 5 times a power of ten that cuts `max` into about [`TICKS`].
fn step(max: f64) -> f64 {
    let raw = (max / TICKS).max(1e-6);
    let power = 10f64.powf(raw.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|n| n * power);
    steps.into_iter().find(|step| *step >= raw * 0.999).unwrap_or(power * 10.0)
}

/// A number of an axis: `12`, `0.5`, `30k`, `2M`.
fn short(value: f64, step: f64) -> String {
    let (value, unit, step) = match value {
        v if v >= 1e6 => (v / 1e6, "M", step / 1e6),
        v if v >= 1e4 => (v / 1e3, "k", step / 1e3),
        v => (v, "", step),
    };
    let decimals = if step >= 1.0 { 0 } else { (-step.log10()).ceil() as usize };
    format!("{value:.decimals$}{unit}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_people_can_read() {
        assert_eq!([3.0, 9.0, 40.0, 130.0, 0.8].map(step), [1.0, 5.0, 10.0, 50.0, 0.2]);
        assert_eq!(short(30_000.0, 10_000.0), "30k");
        assert_eq!((short(0.5, 0.25), short(2_000_000.0, 1_000_000.0)), ("0.50".replace("50", "5"), "2M".to_owned()));
    }

    /// The numbers behind these words of a picture.
    fn numbers(svg: &str, before: &str) -> Vec<f64> {
        svg.split(before).skip(1).filter_map(|rest| rest.split('"').next()?.parse().ok()).collect()
    }

    #[test]
    fn names_of_points_and_words_of_the_axis_stand_apart() {
        let axes =
            Axes { x: "alerts a day", y: "recall", x_max: 10.0, y_max: 1.0, is_percent: true, words: Vec::new() };
        let points: Vec<_> = (0..8).map(|n| (5.0 + f64::from(n) * 0.1, 0.9, format!("{n}, now: says more"))).collect();
        let svg = dots(&axes, &[Series { class: "new", points }]);
        let (x, y) = (numbers(&svg, "class=\"beside\" x=\""), svg.matches("class=\"beside\"").count());
        assert!(x.len() == y && y >= 3, "{svg}");
        let words = (0..16).map(|n| (f64::from(n), format!("1400, 12h, {n}"))).collect();
        let long = Axes { x_max: 16.0, y_max: 1.0, words, ..axes };
        let svg = bars_of_one(&long, &[Series { class: "new", points: vec![(0.0, 1.0, "x".to_owned())] }]);
        let x = numbers(&svg, "class=\"x\" x=\"");
        assert!(x.len() >= 2 && x.windows(2).all(|pair| pair[1] - pair[0] > labels::width("1400, 12h, 15")), "{x:?}");
    }

    #[test]
    fn texts_are_escaped_and_points_stay_in_the_picture() {
        let axes = Axes { x: "<x>", y: "y", x_max: 2.0, y_max: 5.0, is_percent: false, words: Vec::new() };
        let point = |x: f64, y: f64| (x, y, "\"&<".to_owned());
        let svg = lines(&axes, &[Series { class: "old", points: vec![point(0.0, 0.0), point(2.0, 1e9)] }]);
        assert!(!svg.contains("<x>") && svg.contains("&quot;&amp;&lt;"), "{svg}");
        assert!(svg.contains("cx=\"428.0\" cy=\"12.0\""), "{svg}");
        let nothing = Axes { x_max: 0.0, y_max: 0.0, ..axes };
        assert!(!bars(&nothing, &[Series { class: "old", points: vec![point(0.0, 0.0)] }]).contains("NaN"));
    }
}
