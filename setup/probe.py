"""Can the simulators render here? Lists what is missing and exits 1, or exits 0 in silence.

Runs before anything is installed: standard library only. SAPIEN's renderer needs a Vulkan 1.2
device with descriptor indexing (software or GPU); OpenCV, which mani-skill imports, and SAPIEN
load a few libraries of the window system though no window is ever opened. MuJoCo, for LIBERO,
draws with OSMesa or, with a GPU or without OSMesa, EGL.
"""

import ctypes

LIBRARIES = ("libvulkan.so.1", "libGL.so.1", "libX11.so.6", "libgthread-2.0.so.0")
MUJOCO_LIBRARIES = ("libOSMesa.so.8", "libEGL.so.1")  # either

VULKAN_1_2 = 1 << 22 | 2 << 12
APPLICATION_INFO, INSTANCE_CREATE_INFO = 0, 1
VULKAN_1_2_FEATURES, FEATURES_2 = 51, 1000059000


class ApplicationInfo(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_uint32),
        ("next", ctypes.c_void_p),
        ("application", ctypes.c_char_p),
        ("application_version", ctypes.c_uint32),
        ("engine", ctypes.c_char_p),
        ("engine_version", ctypes.c_uint32),
        ("api_version", ctypes.c_uint32),
    ]


class InstanceCreateInfo(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_uint32),
        ("next", ctypes.c_void_p),
        ("flags", ctypes.c_uint32),
        ("application", ctypes.POINTER(ApplicationInfo)),
        ("layer_count", ctypes.c_uint32),
        ("layers", ctypes.c_void_p),
        ("extension_count", ctypes.c_uint32),
        ("extensions", ctypes.c_void_p),
    ]


class Vulkan12Features(ctypes.Structure):
    """VkPhysicalDeviceVulkan12Features; `descriptor_indexing` is the tenth of its 47 flags."""

    _fields_ = [
        ("type", ctypes.c_uint32),
        ("next", ctypes.c_void_p),
        ("before", ctypes.c_uint32 * 9),
        ("descriptor_indexing", ctypes.c_uint32),
        ("after", ctypes.c_uint32 * 37),
    ]


class Features2(ctypes.Structure):
    """VkPhysicalDeviceFeatures2, with its 55 flags of Vulkan 1.0."""

    _fields_ = [
        ("type", ctypes.c_uint32),
        ("next", ctypes.POINTER(Vulkan12Features)),
        ("flags", ctypes.c_uint32 * 55),
    ]


def missing_libraries() -> list[str]:
    missing = [f"library {name}: {error}" for name in LIBRARIES if (error := load_error(name))]
    if all(map(load_error, MUJOCO_LIBRARIES)):
        missing.append(f"library {MUJOCO_LIBRARIES[0]}: {load_error(MUJOCO_LIBRARIES[0])}")
    return missing


def load_error(name: str) -> str | None:
    try:
        ctypes.CDLL(name)
    except OSError as error:
        return str(error)
    return None


def devices() -> list[tuple[str, bool]]:
    """Every Vulkan device: its name, and whether it has descriptor indexing."""
    vulkan = ctypes.CDLL("libvulkan.so.1")
    application = ApplicationInfo(APPLICATION_INFO, None, b"worldvla", 0, None, 0, VULKAN_1_2)
    create = InstanceCreateInfo(INSTANCE_CREATE_INFO, None, 0, ctypes.pointer(application), 0, None, 0, None)
    instance = ctypes.c_void_p()
    if vulkan.vkCreateInstance(ctypes.byref(create), None, ctypes.byref(instance)) != 0:
        return []
    count = ctypes.c_uint32()
    vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), None)
    handles = (ctypes.c_void_p * count.value)()
    vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), handles)
    found = []
    for handle in handles:
        properties = ctypes.create_string_buffer(4096)  # VkPhysicalDeviceProperties: 824 bytes
        vulkan.vkGetPhysicalDeviceProperties(ctypes.c_void_p(handle), properties)
        name = ctypes.string_at(ctypes.addressof(properties) + 20).decode(errors="replace")
        features12 = Vulkan12Features(VULKAN_1_2_FEATURES)
        features = Features2(FEATURES_2, ctypes.pointer(features12))
        vulkan.vkGetPhysicalDeviceFeatures2(ctypes.c_void_p(handle), ctypes.byref(features))
        found.append((name, bool(features12.descriptor_indexing)))
    vulkan.vkDestroyInstance(instance, None)
    return found


def problems() -> list[str]:
    missing = missing_libraries()
    if any("libvulkan" in line for line in missing):
        return missing
    found = devices()
    if not found:
        missing.append("Vulkan finds no device: no driver is installed")
    elif not any(usable for _, usable in found):
        names = ", ".join(name for name, _ in found)
        missing.append(f"no Vulkan device has descriptor indexing (found: {names}): the driver is too old")
    return missing


if __name__ == "__main__":
    lines = problems()
    print("\n".join(lines), end="\n" if lines else "")
    raise SystemExit(bool(lines))
