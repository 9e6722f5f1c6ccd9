"""Pictures of a MuJoCo scene, drawn off screen.

MuJoCo's own `Renderer` takes the OpenGL library that was chosen when MuJoCo was first imported,
by whomever, and frees its pictures in the context of whichever renderer drew last.
"""

import atexit
import os
from typing import Any

import numpy as np

from worldvla.errors import UserError

MAXIMUM_SHAPES = 2000


class Camera:
    """A camera of the model by name. Only collision shapes (group 0) are hidden, as robosuite hides them."""

    def __init__(self, model, name: str, size: int) -> None:
        import mujoco

        self._model = model
        self._viewport = mujoco.MjrRect(0, 0, size, size)
        self._gl = _gl_context(size)
        self._gl.make_current()
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._scene = mujoco.MjvScene(model, MAXIMUM_SHAPES)
        self._options = mujoco.MjvOption()
        self._options.geomgroup[0] = 0
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._camera.fixedcamid = model.camera(name).id
        atexit.register(self.close)  # EGL's display is gone when the interpreter drops what is left

    def __call__(self, data) -> np.ndarray:
        """uint8 [size, size, 3], upright."""
        import mujoco

        self._gl.make_current()
        everything = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(self._model, data, self._options, None, self._camera, everything, self._scene)
        mujoco.mjr_render(self._viewport, self._scene, self._context)
        image = np.empty((self._viewport.height, self._viewport.width, 3), dtype=np.uint8)
        mujoco.mjr_readPixels(image, None, self._viewport, self._context)
        return image[::-1].copy()

    def close(self) -> None:
        atexit.unregister(self.close)
        self._gl.make_current()
        self._context.free()
        self._gl.free()


def _gl_context(size: int) -> Any:
    """A context of the library that `MUJOCO_GL` names; `UserError` where that cannot draw on this machine."""
    library = os.environ["MUJOCO_GL"]
    try:
        if library == "osmesa":
            from mujoco.osmesa import GLContext
        else:
            from mujoco.egl import GLContext
        return GLContext(size, size)
    except (ImportError, RuntimeError) as error:
        raise UserError(
            f"MUJOCO_GL: {library} cannot draw here ({error}); set MUJOCO_GL=osmesa, which needs libOSMesa.so.8 "
            "(`make system`), or MUJOCO_GL=egl, which needs a driver with EGL"
        ) from error
