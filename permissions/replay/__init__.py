"""Decides recorded decisions again: under their own bundle, and under another.

*Identity*: the sealed input of every `decision` entry, evaluated under the recorded bundle,
must give the recorded answer byte for byte. Anything else is a finding: the record, the
engine or the bundle is not what it was.

*What-if*: the same inputs under another bundle, as a matrix of before and after. Once one
decision of a run comes out differently, the run would have gone on differently too, so the
rest of it is marked conditional. What cannot be replayed is listed with the reason, never
left out. An answer of the same verdict that binds the call otherwise is a change as well. An
engine that gives no clear answer counts as a denial, as in the broker.

Neither knows what a person would have said to a request that was not made at the time.
"""
