"""The implementations of the `Sandbox` protocol, one folder each, and what local ones share.

`bubblewrap`, `docker` and `oci` never import each other; `launcher` and `local_process` are what
backends of this machine share, `vm_kernel` a backend whose runtime brings its own kernel. Not in
here: what is watched and judged of a run (`supervisor`), and what all backends enforce (`isolation`).
"""
