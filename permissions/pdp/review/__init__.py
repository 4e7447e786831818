"""What an author most likely did not mean: findings beyond what makes a bundle unfit to serve.

`permissions.pdp.lint` refuses what the engine would decide otherwise than OPA, or never. This
judges what both engines agree on and nobody wants: a condition that always holds, a pattern
that matches too much, an answer that denies every call once it is given, a test that cannot
fail. `wardline policy check` tells both; a broker opens on what only this finds. One module for
each subject; `bundle` joins them. Pure.
"""
