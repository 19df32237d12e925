"""Draws the pictures of docs/DXF.md: `draw.py CADMILL REAL PICTURES`.

cadmill makes six drawings, of fixtures and of input that is made here, and ezdxf shows them as a CAD
program would. Texts are shown in Nanum Gothic, as neither this machine nor the drawing has the fonts that
AutoCAD brings.
"""

import io
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import ezdxf
import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402  the backend comes first
from ezdxf.addons.drawing import Frontend, RenderContext  # noqa: E402
from ezdxf.addons.drawing.config import BackgroundPolicy, Configuration, LineweightPolicy  # noqa: E402
from ezdxf.addons.drawing.matplotlib import MatplotlibBackend  # noqa: E402
from ezdxf.fonts import fonts  # noqa: E402
from ezdxf.math import Matrix44  # noqa: E402
from PIL import Image  # noqa: E402

# Of the Debian package fonts-nanum.
FONTS = "/usr/share/fonts/truetype/nanum"
FONT = "NanumGothic.ttf"
INCHES = (6.4, 4.4)
DOTS = 100
COLORS = 16
LARGEST = 40_000


def collection(features):
    return json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False)


def feature(shape, coordinates, **properties):
    return {"type": "Feature", "properties": properties, "geometry": {"type": shape, "coordinates": coordinates}}


def parcels():
    """Parcels along a road, a pond within one of them, in metres of a national grid."""
    x, y = 200_000, 550_000
    kinds = ["대", "전", "답", "대", "임야", "과수원", "대", "전"]
    found = []
    for number, kind in enumerate(kinds):
        column, row = number % 4, number // 4
        left, right = x + 30 * column, x + 30 * column + 30
        bottom = y + 46 * row + 3 * math.sin(column)
        top = bottom + 33 - 4 * math.cos(column + row)
        ring = [[left, bottom], [right, bottom + 2], [right, top + 1], [left, top], [left, bottom]]
        rings = [ring]
        if kind == "임야":
            pond = [[left + 15 + 5 * math.cos(a * 0.63), bottom + 24 + 4 * math.sin(a * 0.63)] for a in range(10)]
            rings.append(pond + pond[:1])
        code = {"대": "1", "전": "30", "답": "4", "임야": "3", "과수원": "6"}[kind]
        found.append(feature("Polygon", rings, 지번=f"{101 + number}-{column + 1}", 지목=kind, 색=code))
    road = [[x - 8, y + 40], [x + 128, y + 40], [x + 128, y + 45], [x - 8, y + 45], [x - 8, y + 40]]
    found.append(feature("Polygon", [road], 지번="115", 지목="도로", 색="8"))
    return collection(found)


def contours():
    """Contours of two hills, each fifth with its height."""
    found = []
    for level in range(10):
        points = []
        for step in range(73):
            angle = math.radians(5 * step)
            radius = (300 - 27 * level) * (1 + 0.18 * math.cos(2 * angle + level / 4) + 0.07 * math.sin(5 * angle))
            points.append([200_500 + 1.3 * radius * math.cos(angle), 450_400 + radius * math.sin(angle), 20.0 * level])
        is_index = level % 5 == 0
        label = f"{20 * level} m" if is_index else ""
        found.append(feature("LineString", points, kind="계곡선" if is_index else "주곡선", label=label, color="1" if is_index else "32"))
    return collection(found)


def surface():
    """Triangles of a hill, as a table with well-known text."""

    def at(column, row):
        return f"{10 * column} {10 * row} {25 * math.exp(-((column - 6) ** 2 + (row - 5) ** 2) / 12):.3f}"

    rows = ["WKT,name"]
    for column in range(13):
        triangles = []
        for row in range(10):
            a, b, c, d = at(column, row), at(column + 1, row), at(column + 1, row + 1), at(column, row + 1)
            triangles += [f"(({a},{b},{c},{a}))", f"(({a},{c},{d},{a}))"]
        rows.append(f'"TIN Z ({",".join(triangles)})",{column}')
    return "\n".join(rows) + "\n"


# The name of a picture, a fixture or the name and the text of an input, options, and how the drawing is turned.
PICTURES = [
    ("countries", "gis/naturalearth_lowres.zip", ["dxf.layer=continent", "dxf.color=#1f4e79"], None),
    (
        "hatches",
        "gis/naturalearth_lowres.zip",
        # Lesotho is a hole of South Africa.
        [
            "where=name IN ('South Africa', 'Namibia', 'Botswana', 'Zimbabwe', 'Mozambique')",
            "dxf.polygon=hatch",
            "dxf.color=#7fa8c9",
        ],
        None,
    ),
    ("parcels", ("parcels.geojson", parcels), ["dxf.layer=지목", "dxf.label={지번} {지목}", "dxf.height=3", "dxf.color=색"], None),
    (
        "contours",
        ("contours.geojson", contours),
        ["dxf.layer=kind", "dxf.label=label", "dxf.height=16", "dxf.color=color"],
        None,
    ),
    (
        "blocks",
        "gis/naturalearth_cities.zip",
        [
            "spat=-10,36,20,54",
            "dxf.attributes=attribs",
            # Blanks before it keep it off the symbol.
            "dxf.label=   {name}",
            "dxf.position=left-middle",
            "dxf.height=0.45",
            "dxf.color=5",
        ],
        None,
    ),
    (
        "faces",
        ("faces.csv", surface),
        ["dxf.color=94", "dxf.version=R2010"],
        Matrix44.chain(Matrix44.z_rotate(math.radians(30)), Matrix44.x_rotate(math.radians(-60))),
    ),
]


def convert(cadmill, source, drawing, options):
    arguments = [word for option in options for word in ("--opt", option)]
    command = [cadmill, "convert", source, "--to", "dxf", "-o", drawing, *arguments]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def show(drawing, turn):
    document = ezdxf.readfile(drawing)
    for style in document.styles:
        style.dxf.font, style.dxf.bigfont = FONT, ""
    space = document.modelspace()
    if turn:
        for entity in space:
            entity.transform(turn)
    figure = plt.figure(figsize=INCHES, dpi=DOTS)
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.96))
    looks = Configuration(background_policy=BackgroundPolicy.WHITE, lineweight_policy=LineweightPolicy.ABSOLUTE)
    Frontend(RenderContext(document), MatplotlibBackend(axes, adjust_figure=False), config=looks).draw_layout(space)
    png = io.BytesIO()
    figure.savefig(png, format="png", facecolor="white")
    plt.close(figure)
    return png


def main(cadmill, real, pictures):
    fonts.font_manager.scan_folder(Path(FONTS))
    with tempfile.TemporaryDirectory() as folder:
        for name, source, options, turn in PICTURES:
            if isinstance(source, str):
                path = Path(real, source)
            else:
                path = Path(folder, source[0])
                path.write_text(source[1](), encoding="utf-8")
            drawing = Path(folder, f"{name}.dxf")
            convert(cadmill, path, drawing, options)
            picture = Path(pictures, f"{name}.png")
            image = Image.open(show(drawing, turn)).convert("RGB")
            image.quantize(COLORS, dither=Image.Dither.NONE).save(picture, optimize=True)
            size = picture.stat().st_size
            print(f"{picture}: {size} bytes")
            if size > LARGEST:
                sys.exit(f"{picture} has more than {LARGEST} bytes")


main(*sys.argv[1:])
