#!/usr/bin/env python3
"""Prints a line of JSON for each file, with its solids, faces or triangles, volume and bounding box in millimetres.

STEP, IGES and BREP are read by gmsh (pip install gmsh==4.15.2), by an OpenCASCADE of its own, with volumes to about
3e-5. STL (binary) and GLB are read here: their volume has a meaning if the surface closes.
"""
import json
import struct
import sys

import gmsh

def exact(path):
    gmsh.clear()
    if path.lower().endswith(("stp", "step")):
        gmsh.option.setString("Geometry.OCCTargetUnit", "MM")
    gmsh.model.occ.importShapes(path, highestDimOnly=False)
    gmsh.model.occ.synchronize()
    solids, faces = gmsh.model.getEntities(3), gmsh.model.getEntities(2)
    mass = lambda entities: sum(gmsh.model.occ.getMass(*entity) for entity in entities)
    return {"solids": len(solids), "faces": len(faces), "volume": mass(solids), "area": mass(faces), "box": gmsh.model.getBoundingBox(-1, -1)}


def of_triangles(triangles):
    cross = lambda b, c: (b[1] * c[2] - b[2] * c[1], b[2] * c[0] - b[0] * c[2], b[0] * c[1] - b[1] * c[0])
    volume = sum(sum(x * y for x, y in zip(a, cross(b, c))) for a, b, c in triangles) / 6
    return {"triangles": len(triangles), "volume": volume, "box": [end(p[i] for t in triangles for p in t) for end in (min, max) for i in range(3)]}


def stl(path):
    data = open(path, "rb").read()
    rows = [struct.unpack_from("<9f", data, at + 12) for at in range(84, len(data), 50)]
    return of_triangles([(r[0:3], r[3:6], r[6:9]) for r in rows])


def glb(path):
    data = open(path, "rb").read()
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
        here = lambda p: place([sum(m * x for m, x in zip(row, (*p, 1))) for row in move])
        for primitive in scene["meshes"][node["mesh"]]["primitives"] if "mesh" in node else ():
            points = [here(p) for p in values(primitive["attributes"]["POSITION"], 3)]
            order = iter(i for (i,) in values(primitive["indices"], 1))
            yield from zip(*[(points[i] for i in order)] * 3)
        for child in node.get("children", ()):
            yield from walk(child, here)

    roots = scene["scenes"][0]["nodes"]
    return of_triangles([t for root in roots for t in walk(root, lambda p: (p[0] * 1000, -p[2] * 1000, p[1] * 1000))])


gmsh.initialize(interruptible=False)
gmsh.option.setNumber("General.Terminal", 0)
for path in sys.argv[1:]:
    try:
        result = {"stl": stl, "glb": glb}.get(path.rsplit(".", 1)[-1].lower(), exact)(path)
    except Exception as error:
        result = {"error": str(error)}
    print(json.dumps({"file": path, **result}), flush=True)
