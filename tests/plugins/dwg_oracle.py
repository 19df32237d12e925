#!/usr/bin/env python3
"""Drawings for the plugin of DWG, made by ezdxf, and what differs when they come back.

    dwg_oracle.py make FOLDER            a drawing of every kind of entity, in each release from R2000
    dwg_oracle.py compare BEFORE AFTER   prints each difference on a line; the audit of AFTER counts

Drawings are compared as ezdxf reads them: layouts, blocks, layers, styles, groups and records, and every entity with
its attributes, its geometry, its text, its XDATA and its attached attributes. HARMLESS lists what differs only in the
way that it is written down.
"""

import logging
import math
import re
import sys
from pathlib import Path

import ezdxf
from ezdxf.acis import api as acis
from ezdxf.enums import TextEntityAlignment
from ezdxf.math import Vec2
from ezdxf.render import forms, mleader

logging.disable(logging.CRITICAL)
RELEASES = ["R2000", "R2004", "R2007", "R2010", "R2013", "R2018"]
KOREAN = "대한민국 도면 가나다"
USUAL = {"layer": "벽체", "color": 3, "linetype": "DASHED", "lineweight": 35, "ltscale": 2.0}

# - What is a default, or derived from another value: measurements, the colour nearest to a true one, and fields of
#   leaders, viewports and splines that say nothing.
# - A 2D polyline is a light one, and vertices of heavy ones have the properties of their polyline.
# - The second point of an attribute that is not aligned, a flag of vertices of meshes, the header of ACIS data.
HARMLESS = re.compile(
    r"actual_measurement \+|gradient\.aci|\.color \+\d+$|block_color \+256|has_hookline \+0|text_width \+0"
    r"|text_height \+2\.5|vertices\.\d+\.1\.(color|linetype|lineweight|ltscale|layer|flags)"
    r"|'POLYLINE'->'LWPOLYLINE'|mode -AcDb2d|points \+|vertices -\[\('VERTEX'|flags \+1056|grid_frequency \+5"
    r"|flags \+32768|align_point -|acis_text|text_attachment_point \+2|flags -1$|dimtype '37'->'40'"
)
# Links between objects, whose handles change.
LINKS = {"handle", "owner", "paperspace", "geometry", "acis_data", "shadow_mode", "status", "uid", "id"}

CURVE = ("knots", "control_points", "fit_points", "weights")
# What entities have besides their attributes.
PARTS = {
    "SPLINE": CURVE, "HELIX": CURVE, "POLYLINE": ("vertices",), "LEADER": ("vertices",), "MESH": ("vertices", "faces"),
    "INSERT": ("attribs",), "IMAGE": ("boundary_path",), "WIPEOUT": ("boundary_path",),
}


def geometry(m, wide):
    """Points, lines, curves and areas."""
    m.add_point((1, 2, 3), dxfattribs=USUAL)
    m.add_line((1.25, 2, 3), (4, 5, 6), dxfattribs=USUAL)
    m.add_circle((1, 2, 3), 4.5, dxfattribs=USUAL)
    turned = {**USUAL, "extrusion": (0, 0, -1), "thickness": 2}
    m.add_circle((1, 2, 3), 4.5, dxfattribs=turned)
    m.add_arc((1, 2), 3, 30, 290, dxfattribs=turned)
    m.add_line((1.25, 2, 3), (4, 5, 6), dxfattribs=turned)
    m.add_lwpolyline(wide, close=True, dxfattribs=turned)
    m.add_text("turned", dxfattribs=turned)
    m.add_solid([(0, 0), (1, 0), (0, 1), (1, 1)], dxfattribs=turned)
    m.add_arc((1, 2), 3, 30, 290, dxfattribs=USUAL)
    m.add_ellipse((1, 2, 0), (5, 1, 0), 0.4, 0.5, 4, dxfattribs=USUAL)
    m.add_lwpolyline(wide, close=True, dxfattribs={**USUAL, "elevation": 7})
    m.add_polyline2d(wide, format="xyseb", close=True, dxfattribs=USUAL)
    m.add_polyline3d([(0, 0, 1), (5, 0, 2), (5, 5, 3)], dxfattribs=USUAL)
    mesh = m.add_polymesh((3, 3), dxfattribs=USUAL)
    for i in range(3):
        for j in range(3):
            mesh.set_mesh_vertex((i, j), (i, j, i * j))
    forms.cube().render_polyface(m, dxfattribs=USUAL)
    forms.cube().render_mesh(m, dxfattribs=USUAL)
    m.add_solid([(0, 0), (1, 0), (0, 1), (1, 1)], dxfattribs=USUAL)
    m.add_trace([(0, 0), (1, 0), (0, 1), (1, 1)], dxfattribs=USUAL)
    m.add_3dface([(0, 0, 1), (1, 0, 1), (1, 1, 2), (0, 1, 2)], dxfattribs={**USUAL, "invisible_edges": 5})
    m.add_open_spline([(0, 0), (1, 3, 1), (4, 3), (5, 0), (7, 1)], degree=3, dxfattribs=USUAL)
    m.add_rational_spline([(0, 0), (1, 3), (4, 3), (5, 0)], weights=[1, 2, 2, 1], degree=3)
    m.add_spline([(0, 0), (1, 3), (4, 3), (5, 0)])
    m.add_helix(radius=2, pitch=1, turns=3)
    m.add_xline((1, 2), (1, 1))
    m.add_ray((1, 2), (1, 1))
    m.add_mline([(0, 0), (5, 0), (5, 5)])
    m.add_wipeout([(0, 0), (5, 0), (5, 5), (0, 5)])
    m.add_line((0, 0), (1, 1), dxfattribs={"true_color": 0x123456, "transparency": 0x0200007F})
    acis.export_dxf(m.add_3dsolid(), [acis.body_from_mesh(forms.cube())])
    m.new_entity("LIGHT", {"name": "L1", "location": (1, 2, 3)})


def hatches(m):
    m.add_hatch(color=2, dxfattribs={"layer": "벽체"}).paths.add_polyline_path([(0, 0), (10, 0, 0.5), (10, 10)], flags=1)
    hatch = m.add_hatch(color=2)
    hatch.set_pattern_fill("ANSI31", scale=0.5, angle=15)
    hatch.dxf.extrusion = (0, 0, -1)
    edges = hatch.paths.add_edge_path()
    edges.add_line((0, 0), (10, 0))
    edges.add_arc((10, 5), 5, 270, 90)
    edges.add_line((10, 10), (0, 10))
    edges.add_ellipse((0, 5), (0, -5), 0.5, 0, 180, ccw=False)
    edges = m.add_hatch(color=2).paths.add_edge_path()
    edges.add_spline(control_points=[(0, 0), (5, 5), (8, -3), (10, 0)], degree=3, knot_values=[0, 0, 0, 0, 1, 1, 1, 1])
    edges.add_line((10, 0), (0, 0))
    if m.doc.dxfversion > "AC1015":
        hatch = m.add_hatch()
        hatch.set_gradient(color1=(10, 20, 30), color2=(200, 210, 220), rotation=30, centered=1, name="LINEAR")
        hatch.paths.add_polyline_path([(0, 0), (10, 0), (10, 10)])


def annotations(m):
    m.add_text(KOREAN, height=2.5, rotation=30, dxfattribs={**USUAL, "width": 0.8, "oblique": 10, "insert": (3, 4)})
    m.add_text("%%c20 ±0.5", height=2.5).set_placement((5, 6), align=TextEntityAlignment.MIDDLE_CENTER)
    m.add_mtext(KOREAN + "\\P{\\fArial|b1;굵게} \\S1/2;", dxfattribs={**USUAL, "width": 40, "attachment_point": 5, "rotation": 15})
    m.add_mtext(KOREAN * 60, dxfattribs={"char_height": 3})
    m.add_linear_dim(base=(3, 2), p1=(0, 0), p2=(6, 0), dimstyle="EZDXF").render()
    m.add_aligned_dim(p1=(0, 0), p2=(6, 3), distance=2, dimstyle="EZDXF", override={"dimtxt": 0.7}).render()
    m.add_angular_dim_2l(base=(0, 5), line1=((0, 0), (4, 4)), line2=((0, 0), (-4, 4))).render()
    m.add_radius_dim(center=(0, 0), radius=3, angle=45).render()
    m.add_diameter_dim(center=(0, 0), radius=3, angle=45).render()
    m.add_ordinate_x_dim((3, 2), (1, 3), origin=(0, 0)).render()
    m.add_arc_dim_cra(center=(0, 0), radius=5, start_angle=30, end_angle=120, distance=2).render()
    m.add_leader([(0, 0), (2, 2), (5, 2)], dimstyle="EZDXF")
    builder = m.add_multileader_mtext("Standard")
    builder.set_content(KOREAN)
    builder.add_leader_line(mleader.ConnectionSide.left, [Vec2(-10, -5)])
    builder.build(insert=Vec2(5, 0))
    m.new_entity("TOLERANCE", {"insert": (1, 2), "content": "{\\Fgdt;j}%%v0.1%%vA", "dimstyle": "Standard"})


def references(d, m):
    """Blocks with attributes, images, underlays, groups, XDATA, dictionaries and layouts."""
    symbol = d.blocks.new("기호", base_point=(1, 1))
    symbol.add_line((0, 0), (1, 1))
    symbol.add_attdef("NAME", (0, -2), text="x", height=0.5, dxfattribs={"prompt": "Name?"})
    symbol.add_attdef("HIDDEN", (0, -3), dxfattribs={"flags": 1})
    placed = {**USUAL, "xscale": 2, "yscale": 3, "zscale": 3, "rotation": 45}
    m.add_blockref("기호", (3, 4, 5), dxfattribs=placed).add_auto_attribs({"NAME": "값 하나", "HIDDEN": "h"})
    many = {"row_count": 2, "column_count": 3, "row_spacing": 4, "column_spacing": 5}
    m.add_blockref("기호", (3, 4), dxfattribs=many)
    m.add_blockref("기호", (3, 4), dxfattribs={"extrusion": (0, 0, -1), "xscale": -2})
    m.add_image(d.add_image_def("map.png", (640, 360)), (1, 2), (64, 36), rotation=10)
    m.add_underlay(d.add_underlay_def("a.pdf", fmt="pdf", name="1"), (1, 2), scale=2)
    d.appids.add("CADMILL")
    line = m.add_line((0, 0), (1, 1))
    kinds = [(1000, KOREAN), (1040, 1.5), (1070, 7), (1071, 70000), (1010, (1, 2, 3)), (1002, "{"), (1000, "in"), (1002, "}")]
    line.set_xdata("CADMILL", kinds)
    line.new_extension_dict().add_dictionary_var("VAR", KOREAN)
    d.rootdict.add_xrecord("CADMILL").reset([(1, KOREAN), (40, 1.5), (90, 7)])
    d.groups.new("무리").extend([m.add_line((0, 0), (1, i)) for i in range(3)])
    d.layers.add("꺼짐", color=5).off()
    d.layers.add("L2", color=1, linetype="DASHED", lineweight=50).lock()
    d.layers.add("VIEWPORTS").freeze()
    d.styles.add("한글", font="malgun.ttf")
    d.styles.add("BIG", font="romans.shx").dxf.bigfont = "whgtxt.shx"
    m.add_text("a", dxfattribs={"style": "BIG", "layer": "L2"})
    d.layouts.new("배치").add_text(KOREAN, dxfattribs={"style": "한글"})
    d.paperspace().add_viewport(center=(5, 5), size=(10, 10), view_center_point=(3, 3), view_height=20)
    if d.dxfversion >= "AC1024":
        m.new_geodata().setup_local_grid(design_point=(0, 0), reference_point=(200000, 500000))


def new(release):
    d = ezdxf.new(release, setup=True)
    d.layers.add("벽체", color=1)
    if release in ("R2000", "R2004"):
        d.encoding = "cp949"
        d.header["$DWGCODEPAGE"] = "ANSI_949"
    return d, d.modelspace()


def make(folder):
    for release in RELEASES:
        d, m = new(release)
        geometry(m, [(0, 0, 0.1, 0.2, 0.5), (5, 0, 0, 0, 0), (5, 5, 0, 0, -1)])
        hatches(m)
        annotations(m)
        references(d, m)
        d.saveas(folder / f"all.{release}.dxf")
    d, m = new("R2018")
    m.add_mpolygon(color=2, fill_color=3).paths.add_polyline_path([(0, 0), (10, 0), (10, 10)], is_closed=True)
    d.styles.add_shx("ltypeshp.shx")
    m.add_shape("TRACK1", (1, 2), 3)
    d.blocks.new("SYMBOL").add_attdef("NAME", (0, -2), text="x", height=0.5)
    m.add_blockref("SYMBOL", (3, 4), dxfattribs={"yscale": -1}).add_auto_attribs({"NAME": "x"})
    d.saveas(folder / "lossy.dxf")
    ezdxf.new("R12").saveas(folder / "old.dxf")


def plain(value):
    """A value that can be compared and printed."""
    if isinstance(value, (int, str, bytes, float, type(None))):
        return value
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if hasattr(value, "xyz"):
        return tuple(value.xyz)
    if hasattr(value, "x") and hasattr(value, "y"):
        return (value.x, value.y, 0.0)
    if hasattr(value, "__iter__"):
        return tuple(plain(item) for item in value)
    if hasattr(value, "__float__"):
        return float(value)
    return {key: plain(item) for key, item in vars(value).items() if key != "source_boundary_objects"}


def facts(e):
    """The kind of an entity, and everything that it says."""
    kind, known = e.dxftype(), {}
    for name, value in e.dxf.all_existing_dxf_attribs().items():
        value, definition = plain(value), e.DXFATTRIBS.get(name)
        empty = name != "lineweight" and value in (0, "", (0.0, 0.0, 0.0))
        if name in LINKS or re.search("_(handles?|tolerance)$", name) or (definition.default is None and empty):
            continue
        if name == "text_direction" and kind == "MTEXT":
            name, value = "rotation", math.degrees(math.atan2(value[1], value[0]))
        if name == "rotation":
            value = round(value, 9) % 360
            if value == 0:
                continue
        if definition.default is None or value != plain(definition.default):
            known[name] = "*" if name == "name" and value.startswith("*") else value
    for name in PARTS.get(kind, ()):
        known[name] = [facts(item) if hasattr(item, "dxftype") else plain(item) for item in getattr(e, name)]
    if kind == "MTEXT":
        known["text"] = e.text
    if kind == "LWPOLYLINE":
        known["points"] = [tuple(point) for point in e.get_points()]
    if kind == "POLYLINE":
        known["mode"] = e.get_mode()
    if kind == "MLINE":
        known["vertices"] = [plain((v.location, v.line_direction, v.miter_direction)) for v in e.vertices]
    if kind == "HATCH":
        known["paths"] = [(path.type.name, plain(path)) for path in e.paths]
        known["pattern"] = [plain(line) for line in e.pattern.lines] if e.pattern else None
        known["gradient"] = plain(e.gradient) if e.gradient else None
    if kind == "IMAGE":
        known["file"] = e.image_def.dxf.filename
    if kind == "PDFUNDERLAY":
        known["file"] = e.get_underlay_def().dxf.filename
    if kind == "MULTILEADER":
        text = e.context.mtext
        known["said"] = (text.default_content, plain(text.insert))
        known["lines"] = [[plain(line.vertices) for line in leader.lines] for leader in e.context.leaders]
    if kind == "3DSOLID":
        known["acis_text"] = (list(e.sat), bool(e.sab))
    if e.xdata is not None:
        known["xdata"] = {name: [(code, plain(value)) for code, value in e.xdata.get(name)[1:]] for name in e.xdata.data if name != "ACAD"}
    if e.has_extension_dict:
        known["dictionary"] = sorted((name, item.dxftype()) for name, item in e.get_extension_dict().dictionary.items())
    return kind, known


def document(path):
    d = ezdxf.readfile(path)
    audit = d.audit()
    known = {"audit": sorted(entry.message for entry in [*audit.errors, *audit.fixes])}
    for layout in d.layouts:
        known[f"layout {layout.name}"] = [facts(e) for e in layout]
    blocks = [b for b in d.blocks if not b.is_any_layout and not b.name.startswith("_")]
    named = [("*" if b.name.startswith("*") else b.name, plain(b.block.dxf.base_point), [facts(e) for e in b]) for b in blocks]
    known["blocks"] = sorted(named, key=lambda block: (block[0], len(block[2]), str(block)[:2000]))
    layers = [layer.dxf for layer in d.layers if layer.dxf.name.lower() != "defpoints"]
    known["layers"] = sorted((l.name, l.color, l.flags & 7, l.linetype, l.get("lineweight", -3)) for l in layers)
    known["styles"] = sorted((style.dxf.name, style.dxf.font, style.dxf.bigfont) for style in d.styles)
    known["linetypes"] = sorted(linetype.dxf.name.upper() for linetype in d.linetypes)
    known["groups"] = sorted((name, len(list(group))) for name, group in d.groups)
    known["record"] = [plain(tag) for tag in d.rootdict["CADMILL"].tags] if "CADMILL" in d.rootdict else None
    geodata = d.modelspace().get_geodata() if d.dxfversion >= "AC1024" else None
    known["geodata"] = plain(geodata.dxf.reference_point) if geodata else None
    return known


def same(a, b):
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return math.isclose(a, b, rel_tol=1e-8, abs_tol=1e-9)
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return a == b


def differences(a, b, where):
    if same(a, b):
        return
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted({*a, *b}):
            if key not in a:
                yield f"{where}.{key} +{b[key]}"
            elif key not in b:
                yield f"{where}.{key} -{a[key]}"
            else:
                yield from differences(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)) and len(a) == len(b):
        for index, (before, after) in enumerate(zip(a, b)):
            yield from differences(before, after, f"{where}.{index}")
    else:
        yield f"{where} {str(a)!r}->{str(b)!r}"


def compare(before, after):
    before, after = document(before), document(after)
    before["audit"] = []
    for line in differences(before, after, ""):
        if not HARMLESS.search(line):
            print(line[:300])


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]))
    else:
        compare(sys.argv[2], sys.argv[3])
