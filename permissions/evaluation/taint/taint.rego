# METADATA
# scope: package
# title: Effects after untrusted text
# description: |
#   Once any untrusted text was read, everything but reading is shown to a person. The plain
#   rule that evaluations compare with; not shipped, for nearly all honest work comes after
#   such a text.
# related_resources:
#   - ref: docs/reference/evaluation.md
package wardline.policies.taint

import data.wardline.lib

# METADATA
# title: An effect after untrusted text is shown to a person
require_approval contains {
	"code": "taint.effect",
	"agent": "Untrusted text was read before, so a person has to approve.",
	"operator": "an effect in a run that is labelled untrusted",
	"nearest": null,
	"terms": lib.approval_terms(input.action.properties.impact),
} if {
	input.action.properties.effect != "read"
	"untrusted" in input.context.labels
}
