# shellcheck shell=bash disable=SC2154  # `root`, `log` and `python` are set by the script that sources this
# What the simulators need from the machine: a few shared libraries and a Vulkan device.
# The probe asks the loader and Vulkan themselves, so a driver from anywhere is as good as apt's.

ensure_system() {
    local missing
    if missing=$("$python" setup/probe.py 2>&1); then
        return 0
    fi
    say "The simulator cannot render on this machine yet:"
    while read -r line; do say "  $line"; done <<<"$missing"
    if ! command -v apt-get >/dev/null; then
        die "install Mesa $MINIMUM_MESA or newer with its software Vulkan driver, then run the same command again:" \
            "$(install_command)"
    fi
    become_root ||
        die "installing them needs root. Run this, then the same command again:" "su -c 'make -C $root system'"
    apt_install mesa-vulkan-drivers libvulkan1 libgl1 libx11-6 libglib2.0-0 libosmesa6
    missing=$("$python" setup/probe.py 2>&1) ||
        die "the packages are installed and the simulator still cannot render:" "$missing"
}

install_command() {
    if command -v dnf >/dev/null; then
        echo "sudo dnf install mesa-vulkan-drivers vulkan-loader mesa-libGL mesa-compat-libOSMesa libX11 glib2"
    elif command -v pacman >/dev/null; then
        echo "sudo pacman -S vulkan-swrast vulkan-icd-loader libglvnd libx11 glib2"
    elif command -v zypper >/dev/null; then
        echo "sudo zypper install libvulkan_lvp libvulkan1 Mesa-libGL1 libOSMesa8 libX11-6 libglib-2_0-0"
    else
        echo "packages for: lavapipe (Vulkan), the Vulkan loader, libGL.so.1, libX11.so.6, libgthread-2.0.so.0, libOSMesa.so.8"
    fi
}
