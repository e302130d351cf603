"""A real worker on machines that are booted for it, in QEMU: under systemd, and on another processor.

Takes root, Debian's mmdebstrap, qemu-system-x86 or qemu-system-arm (and qemu-user-static, with binfmt_misc mounted
and `update-binfmts --import qemu-aarch64` done), some minutes, and a network.
Not a part of `make test`.

    python -m tests.platforms systemd
    python -m tests.platforms aarch64
"""
