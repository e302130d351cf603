"""A real worker on machines that are made for it: under systemd and on another processor, in QEMU; and in Docker.

Takes root, Debian's mmdebstrap, qemu-system-x86 or qemu-system-arm (and qemu-user-static, with binfmt_misc mounted
and `update-binfmts --import qemu-aarch64` done), or Docker; a network; some minutes, and half an hour the first time
for aarch64, whose packages are set up by emulation.
Not a part of `make test`.

    python -m tests.platforms systemd
    python -m tests.platforms systemd watchdog options    # only these steps
    python -m tests.platforms aarch64
    python -m tests.platforms x86_64                      # Debian's kernel, which is older than most
    python -m tests.platforms docker
    python -m tests.platforms docker --security-opt seccomp=newer.json
"""
