//! The results as pictures.

use std::path::Path;

use plotters::prelude::*;
use xtask::Result;

use crate::contender::Contender;
use crate::line::Line;
use crate::report::{Results, Setting};

const INK: RGBColor = RGBColor(0x33, 0x3a, 0x45);
const FONT: &str = "sans-serif";

const BARS: [(Contender, RGBColor); 3] = [
    (Contender::Rollcall, RGBColor(0x2f, 0x6f, 0xed)),
    (Contender::Twin, RGBColor(0xe0, 0x8e, 0x2b)),
    (Contender::Floor, RGBColor(0xb4, 0xba, 0xc4)),
];

/// CPU time of each contender per request, for every line.
pub fn bars(results: &Results, setting: Setting, path: &Path) -> Result<()> {
    let lines: Vec<Line> =
        Line::ALL.into_iter().filter(|line| results.find(setting, *line, &Contender::Rollcall).is_some()).collect();
    let cpu = |line: Line, contender: &Contender| {
        results.find(setting, line, contender).map_or(0.0, |series| series.median(|sample| sample.cpu_us)) / 1_000.0
    };
    let greatest = lines.iter().flat_map(|line| BARS.map(|(contender, _)| cpu(*line, &contender))).fold(0.0, f64::max);
    let height = u32::try_from(lines.len())? * 54 + 90;
    let area = SVGBackend::new(path, (900, height)).into_drawing_area();
    area.fill(&WHITE)?;
    let text = |size: i32| (FONT, size).into_font().color(&INK);
    area.draw(&Text::new(format!("CPU of a request in ms: {}", setting.title()), (20, 18), text(17)))?;
    let scale = 520.0 / greatest;
    for (row, line) in lines.iter().enumerate() {
        let top = 60 + i32::try_from(row)? * 54;
        area.draw(&Text::new(line.title(), (20, top + 12), text(14)))?;
        for (place, (contender, colour)) in BARS.iter().enumerate() {
            let value = cpu(*line, contender);
            let y = top + i32::try_from(place)? * 15;
            #[expect(clippy::cast_possible_truncation, reason = "a place in the picture")]
            let x = 290 + (value * scale) as i32;
            area.draw(&Rectangle::new([(290, y), (x.max(291), y + 12)], colour.filled()))?;
            area.draw(&Text::new(format!("{value:.2}"), (x + 6, y), text(12)))?;
        }
    }
    let bottom = i32::try_from(height)? - 26;
    for (place, (contender, colour)) in BARS.iter().enumerate() {
        let x = 290 + i32::try_from(place)? * 130;
        area.draw(&Rectangle::new([(x, bottom), (x + 14, bottom + 12)], colour.filled()))?;
        area.draw(&Text::new(contender.name().to_owned(), (x + 20, bottom), text(13)))?;
    }
    Ok(area.present()?)
}

/// CPU time of Rollcall per request as the number of users grows.
pub fn growth(results: &Results, path: &Path) -> Result<()> {
    let sizes: Vec<Setting> =
        results.settings().into_iter().filter(|setting| !setting.disk && setting.organizations == 1).collect();
    let lines = [Line::CreateNew, Line::Get, Line::List100, Line::List200, Line::AgentUsers100, Line::AgentUsers500];
    let area = SVGBackend::new(path, (900, 420)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("CPU of a request, in times of that at 1,000 users", (FONT, 17).into_font().color(&INK))
        .margin(16)
        .x_label_area_size(34)
        .y_label_area_size(44)
        .build_cartesian_2d((900_f64..1_200_000_f64).log_scale(), 0.0..2.0)?;
    chart.configure_mesh().x_desc("users").light_line_style(WHITE).label_style((FONT, 12)).draw()?;
    for (place, line) in lines.into_iter().enumerate() {
        let Some(least) = sizes.first().and_then(|setting| results.find(*setting, line, &Contender::Rollcall)) else {
            continue;
        };
        let grown = |setting: &Setting| {
            let series = results.find(*setting, line, &Contender::Rollcall)?;
            #[expect(clippy::cast_precision_loss, reason = "a place in the picture")]
            Some((setting.users as f64, series.ratio(least, |sample| sample.cpu_us).median))
        };
        let points: Vec<(f64, f64)> = sizes.iter().filter_map(grown).collect();
        let style = Palette99::pick(place).stroke_width(2);
        chart
            .draw_series(LineSeries::new(points.clone(), style))?
            .label(line.title())
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], style));
        chart.draw_series(points.into_iter().map(|point| Circle::new(point, 3, style.filled())))?;
    }
    chart.configure_series_labels().position(SeriesLabelPosition::LowerRight).label_font((FONT, 12)).draw()?;
    Ok(area.present()?)
}
