// A model on a canvas, by three.js. Everything comes from the file: what it refers to is not loaded.

import {
  AmbientLight, Box3, Color, DirectionalLight, Group, LoadingManager, Mesh, MeshStandardMaterial,
  PerspectiveCamera, Scene, Vector3, WebGLRenderer,
} from "three";
import type { BufferGeometry, Material, Object3D } from "three";
import { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
import { GLTFLoader } from "three/examples/jsm/loaders/GLTFLoader.js";
import { OBJLoader } from "three/examples/jsm/loaders/OBJLoader.js";
import { STLLoader } from "three/examples/jsm/loaders/STLLoader.js";
import type { Texts } from "../language.ts";

export interface Shown {
  element: HTMLElement;
  label: string;
  close(): void;
}

async function read(extension: string, blob: Blob): Promise<Object3D> {
  if (extension === "obj") return new OBJLoader().parse(await blob.text());
  const bytes = await blob.arrayBuffer();
  if (extension === "stl") {
    const geometry = new STLLoader().parse(bytes);
    return new Mesh(geometry, new MeshStandardMaterial({ color: 0x9aa7b4 }));
  }
  const manager = new LoadingManager();
  // Textures within the file are blobs; other addresses would reveal what is looked at.
  manager.setURLModifier((url) => (url.startsWith("blob:") || url.startsWith("data:") ? url : "data:,"));
  return (await new GLTFLoader(manager).parseAsync(bytes, "")).scene;
}

function meshes(model: Object3D): Mesh<BufferGeometry, Material | Material[]>[] {
  const found: Mesh<BufferGeometry, Material | Material[]>[] = [];
  model.traverse((object) => {
    if (object instanceof Mesh) found.push(object);
  });
  return found;
}

function triangles(model: Object3D): number {
  const count = ({ geometry }: Mesh) => (geometry.index?.count ?? geometry.getAttribute("position")?.count ?? 0) / 3;
  return Math.round(meshes(model).reduce((sum, mesh) => sum + count(mesh), 0));
}

/** Shows a model of one of the formats `glb`, `stl` and `obj`. */
export async function showModel(extension: string, blob: Blob, texts: Texts): Promise<Shown> {
  const model = await read(extension, blob);
  const box = new Box3().setFromObject(model);
  if (box.isEmpty()) throw new Error("no geometry");
  const size = box.getSize(new Vector3()).length() || 1;
  // To the middle and to one size: coordinates may be far away, and single precision is not enough then.
  const turned = new Group();
  model.position.sub(box.getCenter(new Vector3()));
  turned.add(model);
  turned.scale.setScalar(2 / size);
  const scene = new Scene();
  scene.background = new Color(0xf4f6f8);
  const light = new DirectionalLight(0xffffff, 2);
  light.position.set(1, 2, 3);
  scene.add(turned, new AmbientLight(0xffffff, 1.2), light);

  const renderer = new WebGLRenderer({ antialias: true });
  const camera = new PerspectiveCamera(40, 16 / 10, 0.01, 100);
  camera.position.set(1.6, 1.2, 2.2);
  const canvas = renderer.domElement;
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "img");
  const label = texts.t("preview_model", { triangles: texts.number(triangles(model)) });
  canvas.setAttribute("aria-label", label);
  const controls = new OrbitControls(camera, canvas);
  const draw = () => renderer.render(scene, camera);
  const resize = () => {
    const width = canvas.parentElement?.clientWidth ?? 640;
    renderer.setSize(width, Math.round((width * 10) / 16));
    draw();
  };
  const TURN = Math.PI / 18;
  const key = (event: KeyboardEvent) => {
    const turn: Record<string, [number, number]> = {
      ArrowLeft: [0, -TURN], ArrowRight: [0, TURN], ArrowUp: [-TURN, 0], ArrowDown: [TURN, 0],
    };
    const [x, y] = turn[event.key] ?? [0, 0];
    const closer = event.key === "+" ? 0.9 : event.key === "-" ? 1 / 0.9 : 1;
    if (x === 0 && y === 0 && closer === 1) return;
    event.preventDefault();
    turned.rotation.x += x;
    turned.rotation.y += y;
    camera.position.multiplyScalar(closer);
    draw();
  };
  controls.addEventListener("change", draw);
  canvas.addEventListener("keydown", key);
  const observer = new ResizeObserver(resize);
  const element = document.createElement("div");
  element.append(canvas);
  observer.observe(element);
  return {
    element,
    label,
    close() {
      observer.disconnect();
      controls.dispose();
      for (const mesh of meshes(model)) {
        mesh.geometry.dispose();
        for (const material of [mesh.material].flat()) material.dispose();
      }
      renderer.dispose();
      renderer.forceContextLoss();
    },
  };
}
