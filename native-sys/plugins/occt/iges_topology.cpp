// Owns the look at what solids of IGES consist of (types 186, 514, 510, 508, 504 and 502): each refers to the next by
// a pointer and the number of an element. OpenCASCADE follows both without looking, outside of any try block. And at
// coordinates, for a vertex that is far from its edge is moved back without a word.
#include "iges_topology.hpp"

#include <IGESData_IGESEntity.hxx>
#include <IGESGeom_BSplineCurve.hxx>
#include <IGESGeom_BSplineSurface.hxx>
#include <IGESGeom_Line.hxx>
#include <IGESGeom_Point.hxx>
#include <IGESSolid_EdgeList.hxx>
#include <IGESSolid_Face.hxx>
#include <IGESSolid_Loop.hxx>
#include <IGESSolid_ManifoldSolid.hxx>
#include <IGESSolid_Shell.hxx>
#include <IGESSolid_VertexList.hxx>
#include <gp_Pnt.hxx>

#include <cmath>

namespace occt {
namespace {

constexpr double kFarthest = 1e15; // As in edge_check.cpp, in the unit of the file.

bool isVertex(const Handle(IGESSolid_VertexList) &list, int index) { return !list.IsNull() && index >= 1 && index <= list->NbVertices(); }

bool isSound(const IGESSolid_EdgeList &list) {
    for (int i = 1; i <= list.NbEdges(); i++)
        if (list.Curve(i).IsNull() || !isVertex(list.StartVertexList(i), list.StartVertexIndex(i)) || !isVertex(list.EndVertexList(i), list.EndVertexIndex(i)))
            return false;
    return true;
}

// An edge of a loop is an element of a list of edges, or a vertex alone.
bool isSound(const IGESSolid_Loop &loop) {
    for (int i = 1; i <= loop.NbEdges(); i++) {
        const int index = loop.ListIndex(i);
        if (loop.EdgeType(i) == 1) {
            if (!isVertex(Handle(IGESSolid_VertexList)::DownCast(loop.Edge(i)), index)) return false;
            continue;
        }
        const auto list = Handle(IGESSolid_EdgeList)::DownCast(loop.Edge(i));
        if (list.IsNull() || index < 1 || index > list->NbEdges()) return false;
    }
    return true;
}

bool isSound(const IGESSolid_Face &face) {
    bool sound = !face.Surface().IsNull();
    for (int i = 1; sound && i <= face.NbLoops(); i++) sound = !face.Loop(i).IsNull();
    return sound;
}

bool isSound(const IGESSolid_Shell &shell) {
    for (int i = 1; i <= shell.NbFaces(); i++)
        if (shell.Face(i).IsNull()) return false;
    return true;
}

bool isSound(const IGESSolid_ManifoldSolid &solid) {
    bool sound = !solid.Shell().IsNull();
    for (int i = 1; sound && i <= solid.NbVoidShells(); i++) sound = !solid.VoidShell(i).IsNull();
    return sound;
}

bool isFar(const gp_Pnt &point) {
    for (int i = 1; i <= 3; i++)
        if (!(std::fabs(point.Coord(i)) <= kFarthest)) return true;
    return false;
}

bool isFar(const IGESGeom_Point &point) { return isFar(point.Value()); }
bool isFar(const IGESGeom_Line &line) { return isFar(line.StartPoint()) || isFar(line.EndPoint()); }

bool isFar(const IGESSolid_VertexList &list) {
    for (int i = 1; i <= list.NbVertices(); i++)
        if (isFar(list.Vertex(i))) return true;
    return false;
}

bool isFar(const IGESGeom_BSplineCurve &curve) {
    for (int i = 0; i <= curve.UpperIndex(); i++)
        if (isFar(curve.Pole(i))) return true;
    return false;
}

bool isFar(const IGESGeom_BSplineSurface &surface) {
    for (int i = 0; i <= surface.UpperIndexU(); i++)
        for (int j = 0; j <= surface.UpperIndexV(); j++)
            if (isFar(surface.Pole(i, j))) return true;
    return false;
}

template <class Type> bool isFar(const Handle(Standard_Transient) &entity) {
    const auto typed = Handle(Type)::DownCast(entity);
    return !typed.IsNull() && isFar(*typed);
}

template <class Type> bool isBroken(const Handle(Standard_Transient) &entity) {
    const auto typed = Handle(Type)::DownCast(entity);
    return !typed.IsNull() && !isSound(*typed);
}

} // namespace

std::vector<Handle(Standard_Transient)> brokenTopology(const Handle(Interface_InterfaceModel) &model) {
    std::vector<Handle(Standard_Transient)> broken;
    for (int i = 1; i <= model->NbEntities(); i++) {
        const Handle(Standard_Transient) entity = model->Value(i);
        if (isBroken<IGESSolid_EdgeList>(entity) || isBroken<IGESSolid_Loop>(entity) || isBroken<IGESSolid_Face>(entity) ||
            isBroken<IGESSolid_Shell>(entity) || isBroken<IGESSolid_ManifoldSolid>(entity))
            broken.push_back(entity);
    }
    return broken;
}

std::vector<Handle(Standard_Transient)> farPoints(const Handle(Interface_InterfaceModel) &model) {
    std::vector<Handle(Standard_Transient)> far;
    for (int i = 1; i <= model->NbEntities(); i++) {
        const Handle(Standard_Transient) entity = model->Value(i);
        if (model->IsErrorEntity(i)) continue; // It may have no coordinates.
        if (isFar<IGESSolid_VertexList>(entity) || isFar<IGESGeom_Line>(entity) || isFar<IGESGeom_Point>(entity) ||
            isFar<IGESGeom_BSplineCurve>(entity) || isFar<IGESGeom_BSplineSurface>(entity))
            far.push_back(entity);
    }
    return far;
}

} // namespace occt
