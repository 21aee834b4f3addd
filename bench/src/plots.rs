//! Plots, as SVG files beside the report.

use std::{ops::Range, path::Path};

use plotters::{coord::Shift, prelude::*};

use crate::{
    error::BenchError,
    plan::{Contestant, Section},
    results::Results,
    rounds::{Measured, Sample},
    server::Placement,
    statistics::{short, spread},
};

/// A plot: one figure of all contestants, against the variable of a part's cells.
pub struct Plot {
    /// The file's name.
    pub file: &'static str,
    /// The title.
    pub title: &'static str,
    section: Section,
    placement: Placement,
    against: fn(&Measured) -> f64,
    axis: &'static str,
    figure: fn(&Sample) -> Option<f64>,
    unit: &'static str,
    /// True for a logarithmic axis.
    logarithmic: bool,
}

type Drawing<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Returns all plots.
pub fn plots() -> Vec<Plot> {
    let clients: fn(&Measured) -> f64 = |measured| f64::from(measured.cell.clients);
    let pipeline: fn(&Measured) -> f64 = |measured| f64::from(measured.cell.pipeline);
    let payload: fn(&Measured) -> f64 =
        |measured| measured.cell.ask.payload().map_or(0.0, |bytes| bytes as f64);
    let by_clients = |file, title, placement, figure, unit, logarithmic| Plot {
        file,
        title,
        section: Section::Clients,
        placement,
        against: clients,
        axis: "clients",
        figure,
        unit,
        logarithmic,
    };
    use Placement::{Apart, Free};
    let rate: fn(&Sample) -> Option<f64> = |sample| Some(sample.served.rate);
    let cpu: fn(&Sample) -> Option<f64> = |sample| Some(sample.cpu);
    let p99: fn(&Sample) -> Option<f64> = |sample| Some(sample.served.p99);
    let by_pipeline = |file, title, figure, unit| Plot {
        section: Section::Pipelines,
        against: pipeline,
        axis: "requests in a batch, 50 clients",
        ..by_clients(file, title, Free, figure, unit, true)
    };
    vec![
        by_clients("clients-rate.svg", "Rate, a processor each", Apart, rate, "requests/s", false),
        by_clients(
            "clients-rate-free.svg",
            "Rate, processors free",
            Free,
            rate,
            "requests/s",
            false,
        ),
        by_clients("clients-p99.svg", "p99, a processor each", Apart, p99, "ms", true),
        by_clients("clients-cpu.svg", "CPU per request, a processor each", Apart, cpu, "µs", true),
        by_pipeline("pipelines-rate.svg", "Rate, processors free", rate, "requests/s"),
        by_pipeline("pipelines-cpu.svg", "CPU per request, processors free", cpu, "µs"),
        Plot {
            section: Section::Payloads,
            against: payload,
            axis: "bytes there and back, 50 clients",
            ..by_clients(
                "payloads-rate.svg",
                "Rate, a processor each",
                Apart,
                rate,
                "requests/s",
                true,
            )
        },
    ]
}

/// A line of a plot: its contestant, and its points from left to right.
type Line = (Contestant, Vec<(f64, f64)>);

impl Plot {
    /// Returns whether it shows this part.
    pub fn is_of(&self, section: Section) -> bool {
        self.section == section
    }

    /// Draws it. Returns whether there were enough points.
    pub fn draw(&self, results: &Results, folder: &Path) -> Result<bool, BenchError> {
        let lines = self.lines(results);
        let points = || lines.iter().flat_map(|(_, points)| points);
        let (across, up) = (points().map(|point| point.0), points().map(|point| point.1));
        let (Some(across), Some(up)) = (spread(across), spread(up)) else { return Ok(false) };
        if across.least >= across.most || up.least <= 0.0 {
            return Ok(false);
        }
        let file = folder.join(self.file);
        let area = SVGBackend::new(&file, (900, 480)).into_drawing_area();
        let across = across.least..across.most;
        let drawn = if self.logarithmic {
            self.draw_lines(&area, &lines, across, (up.least / 1.5..up.most * 1.5).log_scale())
        } else {
            self.draw_lines(&area, &lines, across, 0.0..up.most * 1.1)
        };
        drawn
            .and_then(|()| area.present())
            .map_err(|error| BenchError::Plot(file.clone(), error))?;
        Ok(true)
    }

    fn lines(&self, results: &Results) -> Vec<Line> {
        let mut lines: Vec<Line> = Vec::new();
        let cells = results.of(self.section);
        for measured in cells.filter(|measured| measured.cell.placement == self.placement) {
            for (contestant, samples) in &measured.samples {
                let Some(figure) = spread(samples.iter().filter_map(self.figure)) else { continue };
                let point = ((self.against)(measured), figure.median);
                match lines.iter_mut().find(|(who, _)| who == contestant) {
                    Some((_, points)) => points.push(point),
                    None => lines.push((*contestant, vec![point])),
                }
            }
        }
        for (_, points) in &mut lines {
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        lines
    }

    fn draw_lines<'a, Y>(
        &self,
        area: &Drawing<'a>,
        lines: &[Line],
        across: Range<f64>,
        up: Y,
    ) -> Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>
    where
        Y: plotters::coord::ranged1d::AsRangedCoord<Value = f64>,
        Y::CoordDescType: plotters::coord::ranged1d::ValueFormatter<f64>
            + plotters::coord::ranged1d::Ranged<ValueType = f64>,
    {
        area.fill(&WHITE)?;
        let keys = lines.iter().flat_map(|(_, points)| points.iter().map(|point| point.0));
        let mut keys: Vec<f64> = keys.collect();
        keys.sort_by(f64::total_cmp);
        keys.dedup();
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(84)
            .build_cartesian_2d(across.log_scale().with_key_points(keys), up)?;
        chart
            .configure_mesh()
            .x_desc(self.axis)
            .y_desc(self.unit)
            .x_label_formatter(&|figure| short(*figure))
            .y_label_formatter(&|figure| short(*figure))
            .light_line_style(WHITE)
            .draw()?;
        for (contestant, points) in lines {
            let style = ShapeStyle::from(colour(*contestant)).stroke_width(2);
            chart
                .draw_series(LineSeries::new(points.iter().copied(), style))?
                .label(contestant.name())
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], style));
            let dots = points.iter().map(|point| Circle::new(*point, 3, style.filled()));
            chart.draw_series(dots)?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerLeft)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.3))
            .draw()
    }
}

fn colour(contestant: Contestant) -> RGBColor {
    match contestant {
        Contestant::HostPlugin => RGBColor(0, 90, 181),
        Contestant::HostBuiltin => RGBColor(90, 160, 220),
        Contestant::HostShared => RGBColor(230, 150, 0),
        Contestant::HostNormal => RGBColor(40, 140, 90),
        Contestant::HostOf1000 => RGBColor(60, 120, 120),
        Contestant::HostOf10000 => RGBColor(20, 60, 60),
        Contestant::RedisModule | Contestant::RedisThread => RGBColor(220, 50, 32),
        Contestant::RedisBuiltin => RGBColor(240, 140, 120),
        Contestant::ValkeyModule => RGBColor(130, 60, 160),
        Contestant::Original => RGBColor(120, 120, 120),
    }
}
