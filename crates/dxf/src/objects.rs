//! The section OBJECTS: what every drawing has, and the reference system if there is one.
//!
//! Layers refer to the plot style (390), and block records to layouts (340): AutoCAD copies nothing to
//! the clipboard if one of these is missing (gdal#6013).

use crate::extents::Extents;
use crate::geodata;
use crate::handles;
use crate::pairs::Pairs;
use crate::setup::Settings;

/// Writes OBJECTS.
pub(crate) fn write(pairs: &mut Pairs, settings: &Settings, extents: &Extents) {
    pairs.section("OBJECTS");
    let entries = [
        ("ACAD_GROUP", handles::GROUPS),
        ("ACAD_LAYOUT", handles::LAYOUTS),
        ("ACAD_MLINESTYLE", handles::MLINE_STYLES),
        ("ACAD_PLOTSETTINGS", handles::PLOT_SETTINGS),
        ("ACAD_PLOTSTYLENAME", handles::PLOT_STYLES),
    ];
    dictionary(pairs, handles::ROOT, 0, &entries);
    dictionary(pairs, handles::GROUPS, handles::ROOT, &[]);
    let layouts = [("Model", handles::MODEL_LAYOUT), ("Layout1", handles::PAPER_LAYOUT)];
    dictionary(pairs, handles::LAYOUTS, handles::ROOT, &layouts);
    dictionary(pairs, handles::MLINE_STYLES, handles::ROOT, &[("Standard", handles::MLINE_STYLE)]);
    dictionary(pairs, handles::PLOT_SETTINGS, handles::ROOT, &[]);
    plot_styles(pairs);
    mline_style(pairs);
    let model = (handles::MODEL_LAYOUT, "Model", 0, handles::MODEL_SPACE, 1712);
    layout(pairs, model, extents);
    let paper = (handles::PAPER_LAYOUT, "Layout1", 1, handles::PAPER_SPACE, 688);
    layout(pairs, paper, &Extents::EMPTY);
    if let Some(georeference) = &settings.georeference {
        geodata::write(pairs, georeference, settings.charset());
    }
    pairs.str(0, "ENDSEC");
}

fn dictionary(pairs: &mut Pairs, handle: u64, owner: u64, entries: &[(&str, u64)]) {
    pairs.str(0, "DICTIONARY");
    pairs.handle(5, handle);
    pairs.handle(330, owner);
    pairs.str(100, "AcDbDictionary");
    pairs.int(281, 1);
    for (name, entry) in entries {
        pairs.str(3, name);
        pairs.handle(350, *entry);
    }
}

fn plot_styles(pairs: &mut Pairs) {
    pairs.str(0, "ACDBDICTIONARYWDFLT");
    pairs.handle(5, handles::PLOT_STYLES);
    pairs.handle(330, handles::ROOT);
    pairs.str(100, "AcDbDictionary");
    pairs.int(281, 1);
    pairs.str(3, "Normal");
    pairs.handle(350, handles::PLOT_STYLE);
    pairs.str(100, "AcDbDictionaryWithDefault");
    pairs.handle(340, handles::PLOT_STYLE);
    pairs.str(0, "ACDBPLACEHOLDER");
    pairs.handle(5, handles::PLOT_STYLE);
    pairs.handle(330, handles::PLOT_STYLES);
}

fn mline_style(pairs: &mut Pairs) {
    pairs.str(0, "MLINESTYLE");
    pairs.handle(5, handles::MLINE_STYLE);
    pairs.handle(330, handles::MLINE_STYLES);
    pairs.str(100, "AcDbMlineStyle");
    pairs.str(2, "Standard");
    pairs.int(70, 0);
    pairs.str(3, "");
    pairs.int(62, 256);
    pairs.real(51, 90.0);
    pairs.real(52, 90.0);
    pairs.int(71, 2);
    for offset in [0.5, -0.5] {
        pairs.real(49, offset);
        pairs.int(62, 256);
        pairs.str(6, "ByLayer");
    }
}

fn layout(
    pairs: &mut Pairs,
    (handle, name, tab, record, flags): (u64, &str, i64, u64, i64),
    extents: &Extents,
) {
    pairs.str(0, "LAYOUT");
    pairs.handle(5, handle);
    pairs.handle(330, handles::LAYOUTS);
    pairs.str(100, "AcDbPlotSettings");
    for (code, value) in [(1, ""), (2, "none_device"), (4, ""), (6, "")] {
        pairs.str(code, value);
    }
    for code in 40..50 {
        pairs.real(code, 0.0);
    }
    for (code, value) in [(140, 0.0), (141, 0.0), (142, 1.0), (143, 1.0)] {
        pairs.real(code, value);
    }
    for (code, value) in [(70, flags), (72, 1), (73, 0), (74, 5)] {
        pairs.int(code, value);
    }
    pairs.str(7, "");
    for (code, value) in [(75, 16), (76, 0), (77, 2), (78, 300)] {
        pairs.int(code, value);
    }
    for (code, value) in [(147, 1.0), (148, 0.0), (149, 0.0)] {
        pairs.real(code, value);
    }
    pairs.str(100, "AcDbLayout");
    pairs.str(1, name);
    pairs.int(70, 1);
    pairs.int(71, tab);
    pairs.point2(10, 0.0, 0.0);
    pairs.point2(11, 420.0, 297.0);
    pairs.point3(12, [0.0; 3]);
    pairs.point3(14, extents.min);
    pairs.point3(15, extents.max);
    pairs.real(146, 0.0);
    pairs.point3(13, [0.0; 3]);
    pairs.point3(16, [1.0, 0.0, 0.0]);
    pairs.point3(17, [0.0, 1.0, 0.0]);
    pairs.int(76, 0);
    pairs.handle(330, record);
    if tab == 0 {
        pairs.handle(331, handles::VPORT_ACTIVE);
    }
}
