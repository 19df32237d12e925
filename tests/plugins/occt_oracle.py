#!/usr/bin/env python3
"""Reads models with a program that is not cadmill, and prints a line of JSON for each.

    occt_oracle.py gmsh FILE...      by gmsh (STEP, IGES, BREP, STL), and by the code here (GLB)
    occt_oracle.py ocp FILE...       by OCP, the Python binding of OpenCASCADE 8

A line has solids, faces, volume of the solids, area of the faces and bounding box; of triangles their number, the volume
that they enclose and the box. Lengths are in millimetres. From gmsh, `closes` says whether a surface of triangles has no
border. OCP also counts the colours, and reads the files that an assembly refers to. Neither of the two gives a volume of
curved faces to more than about 1e-5, so a result is compared with its input by the same reader.

    occt_oracle.py copies BREP N FILE.step FILE.brep    N copies of a model, side by side, in one STEP and one BREP file
"""
import collections
import json
import os
import struct
import sys

# The part of the volume or area of a face at which OCP ends its integration. In a large file it takes a fixed number of
# points, as gmsh does, which is five times as fast, and one solid is integrated as in a small file.
PART, PART_IF_LARGE, LARGE = 1e-7, 1e-2, 8e6


def of_triangles(triangles):
    """Of a list of triangles, each of three points."""
    volume, edges, ends = 0.0, collections.Counter(), []
    for a, b, c in triangles:
        volume += a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2]) + a[2] * (b[0] * c[1] - b[1] * c[0])
        # The tip of a cone is a triangle with two equal corners.
        for start, end in ((a, b), (b, c), (c, a)):
            if start != end:
                edges[(start, end) if start < end else (end, start)] += 1 if start < end else -1
    for pick in (min, max):
        ends += [pick(point[axis] for triangle in triangles for point in triangle) for axis in range(3)]
    return {"triangles": len(triangles), "volume": volume / 6, "box": ends, "closes": not any(edges.values())}


class Gmsh:
    """Reads with gmsh, and GLB without a library."""

    def __init__(self):
        import gmsh

        self.gmsh = gmsh
        gmsh.initialize(interruptible=False)
        gmsh.option.setNumber("General.Terminal", 0)

    def exact(self, path):
        gmsh = self.gmsh
        gmsh.clear()
        if path.lower().endswith(("stp", "step")):
            gmsh.option.setString("Geometry.OCCTargetUnit", "MM")
        occ = gmsh.model.occ
        occ.importShapes(path, highestDimOnly=False)
        # Without synchronize(), which prepares faces for meshing and fails on one whose border is at fault.
        solids, faces = occ.getEntities(3), occ.getEntities(2)
        mass = lambda entities: sum(occ.getMass(*entity) for entity in entities)
        boxes = [occ.getBoundingBox(*face) for face in faces] or [[0] * 6]
        box = [(min, max)[i // 3](box[i] for box in boxes) for i in range(6)]
        return {"solids": len(solids), "faces": len(faces), "volume": mass(solids), "area": mass(faces), "box": box}

    def stl(self, path):
        gmsh = self.gmsh
        gmsh.clear()
        gmsh.merge(path)
        tags, flat, _ = gmsh.model.mesh.getNodes()
        points = {tag: tuple(flat[3 * i : 3 * i + 3]) for i, tag in enumerate(tags)}
        _, corners = gmsh.model.mesh.getElementsByType(2)
        order = iter(corners)
        return of_triangles([tuple(points[tag] for tag in three) for three in zip(order, order, order)])

    def glb(self, path):
        with open(path, "rb") as file:
            data = file.read()
        (length,) = struct.unpack_from("<I", data, 12)
        scene, blob = json.loads(data[20 : 20 + length]), data[28 + length :]

        def values(index, width):
            accessor = scene["accessors"][index]
            view = scene["bufferViews"][accessor["bufferView"]]
            code = {5126: "f", 5125: "I", 5123: "H"}[accessor["componentType"]]
            start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
            flat = struct.unpack_from(f"<{accessor['count'] * width}{code}", blob, start)
            return [flat[i : i + width] for i in range(0, len(flat), width)]

        def rows(node):
            if "matrix" in node:
                return [node["matrix"][r::4] for r in range(3)]
            (x, y, z, w), t, s = (node.get(k, d) for k, d in (("rotation", (0, 0, 0, 1)), ("translation", (0,) * 3), ("scale", (1,) * 3)))
            turn = ((1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
                    (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
                    (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)))
            return [[turn[r][c] * s[c] for c in range(3)] + [t[r]] for r in range(3)]

        def walk(index, place):
            node, move = scene["nodes"][index], rows(scene["nodes"][index])
            here = lambda p: place(tuple(sum(m * x for m, x in zip(row, (*p, 1))) for row in move))
            for primitive in scene["meshes"][node["mesh"]]["primitives"] if "mesh" in node else ():
                points = [here(p) for p in values(primitive["attributes"]["POSITION"], 3)]
                order = iter(i for (i,) in values(primitive["indices"], 1))
                yield from zip(*[(points[i] for i in order)] * 3)
            for child in node.get("children", ()):
                yield from walk(child, here)

        # glTF has the y axis upwards, and metres.
        upright = lambda p: (p[0] * 1000, -p[2] * 1000, p[1] * 1000)
        return of_triangles([t for root in scene["scenes"][0]["nodes"] for t in walk(root, upright)])


class Ocp:
    """Reads with OpenCASCADE 8, by its binding."""

    def __init__(self):
        from OCP.Message import Message

        Message.DefaultMessenger_s().ChangePrinters().Clear()

    def document(self):
        from OCP.TCollection import TCollection_ExtendedString
        from OCP.TDocStd import TDocStd_Document
        from OCP.XCAFDoc import XCAFDoc_DocumentTool

        document = TDocStd_Document(TCollection_ExtendedString("BinXCAF"))
        XCAFDoc_DocumentTool.ShapeTool_s(document.Main())
        XCAFDoc_DocumentTool.SetLengthUnit_s(document, 0.001)
        return document

    def shape(self, path, document):
        """What the file holds, in millimetres."""
        from OCP.BRep import BRep_Builder
        from OCP.BRepTools import BRepTools
        from OCP.IFSelect import IFSelect_RetDone
        from OCP.IGESCAFControl import IGESCAFControl_Reader
        from OCP.STEPCAFControl import STEPCAFControl_Reader
        from OCP.TopoDS import TopoDS_Compound, TopoDS_Shape
        from OCP.XCAFDoc import XCAFDoc_DocumentTool

        extension = path.lower().rsplit(".", 1)[-1]
        if extension in ("brep", "brp"):
            shape = TopoDS_Shape()
            if not BRepTools.Read_s(shape, path, BRep_Builder()):
                raise ValueError("not read")
            return shape
        reader = IGESCAFControl_Reader() if extension in ("igs", "iges") else STEPCAFControl_Reader()
        reader.SetColorMode(True)
        # What an assembly refers to is looked for in the current directory.
        os.chdir(os.path.dirname(path))
        if reader.ReadFile(os.path.basename(path)) != IFSelect_RetDone or not reader.Transfer(document):
            raise ValueError("not read")
        return self.whole(XCAFDoc_DocumentTool.ShapeTool_s(document.Main()))

    def whole(self, tool):
        from OCP.BRep import BRep_Builder
        from OCP.TopoDS import TopoDS_Compound
        from OCP.XCAFDoc import XCAFDoc_ShapeTool

        labels = self.labels()
        tool.GetFreeShapes(labels)
        compound, builder = TopoDS_Compound(), BRep_Builder()
        builder.MakeCompound(compound)
        for label in labels:
            builder.Add(compound, XCAFDoc_ShapeTool.GetShape_s(label))
        return compound

    def labels(self):
        from OCP.collections import Sequence_TDF_Label

        return Sequence_TDF_Label()

    def box(self, shape, triangles):
        from OCP.BRepBndLib import BRepBndLib
        from OCP.Bnd import Bnd_Box

        box = Bnd_Box()
        if triangles:
            BRepBndLib.Add_s(shape, box, True)
        else:
            BRepBndLib.AddOptimal_s(shape, box, False, False)
        box.SetGap(0.0)
        corners = box.CornerMin(), box.CornerMax()
        return [getattr(corner, axis)() for corner in corners for axis in "XYZ"]

    def exact(self, path):
        from OCP.BRepGProp import BRepGProp
        from OCP.GProp import GProp_GProps
        from OCP.TopAbs import TopAbs_FACE, TopAbs_SOLID
        from OCP.TopExp import TopExp, TopExp_Explorer
        from OCP.collections import IndexedMap_TopoDS_Shape_TopTools_ShapeMapHasher as Shapes
        from OCP.XCAFDoc import XCAFDoc_DocumentTool

        document = self.document()
        shape = self.shape(path, document)
        is_large = os.path.getsize(path) >= LARGE

        def parts(kind):
            found = Shapes()
            TopExp.MapShapes_s(shape, kind, found)
            return [found.FindKey(i) for i in range(1, found.Extent() + 1)]

        def sum_of(measure, parts, part_of_face=PART_IF_LARGE if is_large else PART):
            total = 0.0
            for part in parts:
                properties = GProp_GProps()
                measure(part, properties, part_of_face)
                total += properties.Mass()
            return total

        solids = [solid for solid in parts(TopAbs_SOLID) if TopExp_Explorer(solid, TopAbs_FACE).More()]
        faces, colours = parts(TopAbs_FACE), self.labels()
        XCAFDoc_DocumentTool.ColorTool_s(document.Main()).GetColors(colours)
        return {
            "solids": len(solids), "faces": len(faces), "colours": colours.Length(), "volume": sum_of(BRepGProp.VolumeProperties_s, solids),
            "area": sum_of(BRepGProp.SurfaceProperties_s, faces), "box": self.box(shape, False),
            "one_volume": sum_of(BRepGProp.VolumeProperties_s, solids[:1], PART) if is_large else 0,
        }

    def measured(self, shape, triangles):
        from OCP.BRepGProp import BRepGProp
        from OCP.GProp import GProp_GProps

        properties = GProp_GProps()
        BRepGProp.VolumeProperties_s(shape, properties, False, False, True)
        return {"triangles": triangles, "volume": properties.Mass(), "box": self.box(shape, True)}

    def stl(self, path):
        from OCP.BRep import BRep_Builder
        from OCP.RWStl import RWStl
        from OCP.TopoDS import TopoDS_Face

        triangles, face = RWStl.ReadFile_s(path), TopoDS_Face()
        BRep_Builder().MakeFace(face, triangles)
        return self.measured(face, triangles.NbTriangles())

    def glb(self, path):
        from OCP.BRep import BRep_Tool
        from OCP.Message import Message_ProgressRange
        from OCP.RWGltf import RWGltf_CafReader
        from OCP.RWMesh import RWMesh_CoordinateSystem_Zup
        from OCP.TCollection import TCollection_AsciiString
        from OCP.TopAbs import TopAbs_FACE
        from OCP.TopExp import TopExp_Explorer
        from OCP.TopLoc import TopLoc_Location
        from OCP.TopoDS import TopoDS
        from OCP.XCAFDoc import XCAFDoc_DocumentTool

        document, reader = self.document(), RWGltf_CafReader()
        reader.SetDocument(document)
        reader.SetSystemLengthUnit(0.001)
        reader.SetSystemCoordinateSystem(RWMesh_CoordinateSystem_Zup)
        if not reader.Perform(TCollection_AsciiString(path), Message_ProgressRange()):
            raise ValueError("not read")
        shape, triangles = self.whole(XCAFDoc_DocumentTool.ShapeTool_s(document.Main())), 0
        faces = TopExp_Explorer(shape, TopAbs_FACE)
        while faces.More():
            triangles += BRep_Tool.Triangulation_s(TopoDS.Face(faces.Current()), TopLoc_Location()).NbTriangles()
            faces.Next()
        return self.measured(shape, triangles)


def copies(model, count, step, brep):
    """A large model: copies that share nothing, in a row along the x axis."""
    from OCP.BRep import BRep_Builder
    from OCP.BRepBuilderAPI import BRepBuilderAPI_Transform
    from OCP.BRepTools import BRepTools
    from OCP.STEPControl import STEPControl_AsIs, STEPControl_Writer
    from OCP.TopoDS import TopoDS_Compound
    from OCP.gp import gp_Trsf, gp_Vec

    reader = Ocp()
    shape = reader.shape(model, reader.document())
    box = reader.box(shape, False)
    compound, builder = TopoDS_Compound(), BRep_Builder()
    builder.MakeCompound(compound)
    for number in range(count):
        move = gp_Trsf()
        move.SetTranslation(gp_Vec(1.1 * (box[3] - box[0]) * number, 0, 0))
        builder.Add(compound, BRepBuilderAPI_Transform(shape, move, True).Shape())
    BRepTools.Write_s(compound, brep)
    writer = STEPControl_Writer()
    writer.Transfer(compound, STEPControl_AsIs)
    writer.Write(step)


def main():
    what, *paths = sys.argv[1:]
    # Libraries print to the standard output too.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if what == "copies":
        return copies(paths[0], int(paths[1]), *paths[2:])
    reader = {"gmsh": Gmsh, "ocp": Ocp}[what]()
    for path in paths:
        try:
            result = {"stl": reader.stl, "glb": reader.glb}.get(path.rsplit(".", 1)[-1].lower(), reader.exact)(path)
        except Exception as error:
            result = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps({"file": path, "reader": what, **result}), file=out, flush=True)


if __name__ == "__main__":
    main()
