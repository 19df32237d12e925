"""What the tests ask of ezdxf: `oracle.py PART FOLDER`.

    audit   reads each drawing of the folder strictly, and prints what the audit finds
    read    prints the entities of each drawing, one a line, as JSON
    systems prints the reference system of each drawing that has one
    both    prints what the header of each drawing says and its entities, as JSON, and what the audit finds
    write   writes drawings of its own into the folder, for the linter
"""

import json
import sys
from pathlib import Path

import ezdxf
from ezdxf.tools.text import plain_mtext, plain_text


def drawings(folder):
    for path in sorted(folder.glob("*.dxf")):
        yield path, ezdxf.readfile(path)


def audit(folder):
    for path, drawing in drawings(folder):
        print_audit(path, drawing)


def print_audit(path, drawing):
    auditor = drawing.audit()
    for kind, found in (("error", auditor.errors), ("fix", auditor.fixes)):
        for each in found:
            print(f"{path.name}: {kind} {each.code}: {each.message}")


def describe(entity):
    kind = entity.dxftype()
    facts = {"kind": kind, "layer": entity.dxf.layer, "color": entity.dxf.color}
    facts |= {"linetype": entity.dxf.linetype, "lineweight": entity.dxf.lineweight, "rgb": entity.dxf.get("true_color")}
    if kind == "POINT":
        facts["points"] = [list(entity.dxf.location)]
    elif kind == "LINE":
        facts["points"] = [list(entity.dxf.start), list(entity.dxf.end)]
    elif kind == "LWPOLYLINE":
        height = entity.dxf.elevation
        facts["points"] = [[x, y, height] for x, y in entity.get_points("xy")]
        facts["closed"] = entity.closed
        facts["bulges"] = [bulge for (bulge,) in entity.get_points("b")]
    elif kind == "POLYLINE":
        facts["points"] = [list(vertex.dxf.location) for vertex in entity.vertices]
        facts["closed"] = entity.is_closed
        facts["mode"] = entity.get_mode()
    elif kind == "HATCH":
        height = entity.dxf.elevation.z
        facts["rings"] = [[[x, y, height] for x, y, _ in path.vertices] for path in entity.paths]
    elif kind == "3DFACE":
        facts["points"] = [list(corner) for corner in entity.wcs_vertices()]
    elif kind == "TEXT":
        facts["text"] = plain_text(entity.dxf.text)
        facts["points"] = [list(entity.dxf.insert)]
        facts |= {"height": entity.dxf.height, "rotation": entity.dxf.rotation}
        facts["place"] = [list(place) for place in entity.get_placement()[1:] if place] + [entity.get_align_enum().name]
    elif kind == "MTEXT":
        facts["text"] = plain_mtext(entity.text)
        facts["points"] = [list(entity.dxf.insert)]
    elif kind == "INSERT":
        facts["block"] = entity.dxf.name
        facts["points"] = [list(entity.dxf.insert)]
        facts["attributes"] = {each.dxf.tag: plain_text(each.dxf.text) for each in entity.attribs}
    if entity.xdata:
        facts["data"] = {app: [[tag.code, tag.value] for tag in tags[1:]] for app, tags in entity.xdata.data.items()}
    return facts


def systems(folder):
    for path, drawing in drawings(folder):
        geodata = drawing.modelspace().get_geodata()
        if geodata:
            code, is_east_first = geodata.get_crs()
            point = list(geodata.dxf.design_point)
            print(f"{path.name}: {code} {is_east_first} {geodata.dxf.coordinate_type} {point}")


def exact(value):
    """Reals as text, because not every reader of JSON reads them exactly."""
    if isinstance(value, float):
        return {"real": repr(float(value))}
    if isinstance(value, (list, tuple)):
        return [exact(each) for each in value]
    if isinstance(value, dict):
        return {key: exact(each) for key, each in value.items()}
    return value


def read(folder):
    for path, drawing in drawings(folder):
        print_entities(path, drawing)


def print_entities(path, drawing):
    for entity in drawing.modelspace():
        print(json.dumps(exact({"file": path.name} | describe(entity)), ensure_ascii=False))


def both(folder):
    for path, drawing in drawings(folder):
        header = {"version": drawing.acad_release, "encoding": drawing.encoding, "units": drawing.units}
        print(json.dumps({"file": path.name, "kind": "HEADER"} | header))
        print_entities(path, drawing)
        # It may change what it finds.
        print_audit(path, drawing)


def write(folder):
    for version in ("R2000", "R2004", "R2007", "R2010", "R2013", "R2018"):
        for units in (1, 6):
            drawing = ezdxf.new(version, setup=True, units=units)
            if units == 6:
                fill(drawing)
            drawing.saveas(folder / f"{version}-{units}.dxf")


def fill(drawing):
    drawing.encoding = "cp949"
    drawing.layers.add("건물", color=1, linetype="DASHED", lineweight=25)
    drawing.appids.add("CADMILL")
    block = drawing.blocks.new("표지")
    block.add_circle((0, 0), 1)
    block.add_attdef("TAG", (0, 0), height=1)
    space = drawing.modelspace()
    on = {"layer": "건물"}
    space.add_point((1, 2, 3), dxfattribs=on).set_xdata("CADMILL", [(1002, "{"), (1000, "값"), (1002, "}")])
    space.add_line((0, 0), (1, 1), dxfattribs=on)
    space.add_circle((0, 0), 1)
    space.add_arc((0, 0), 1, 0, 90)
    space.add_lwpolyline([(0, 0, 0, 0, 0.5), (1, 0), (1, 1)], close=True, dxfattribs=on)
    space.add_polyline3d([(0, 0, 1), (1, 0, 2)])
    space.add_polyline2d([(0, 0), (1, 0)])
    space.add_polyface().append_faces([[(0, 0, 0), (1, 0, 0), (1, 1, 0)]])
    space.add_3dface([(0, 0), (1, 0), (1, 1), (0, 1)])
    space.add_solid([(0, 0), (1, 0), (1, 1), (0, 1)])
    hatch = space.add_hatch(color=2)
    hatch.paths.add_polyline_path([(0, 0), (9, 0), (9, 9)], flags=1)
    hatch.paths.add_polyline_path([(3, 1), (4, 1), (4, 2)], flags=16)
    edges = space.add_hatch(color=2)
    edges.paths.add_edge_path().add_arc((0, 0), 1, 0, 360)
    space.add_text("글", height=1, dxfattribs=on).set_placement((1, 1))
    space.add_mtext("글\\P" + "가" * 500, dxfattribs=on)
    space.add_blockref("표지", (1, 1)).add_auto_attribs({"TAG": "값"})
    if drawing.dxfversion >= "AC1024":
        geodata = space.new_geodata({"block_record_handle": space.block_record_handle})
        geodata.coordinate_system_definition = "<a>\n" * 200
        with space.add_mesh().edit_data() as mesh:
            mesh.add_face([(0, 0, 0), (1, 0, 0), (1, 1, 0)])


part, folder = sys.argv[1], Path(sys.argv[2])
{"audit": audit, "read": read, "systems": systems, "both": both, "write": write}[part](folder)
