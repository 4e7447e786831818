# METADATA
# scope: package
# title: Secrets
# description: |
#   Secrets in the arguments of a call: tokens and keys by the form their issuers give them, and private
#   keys. What leaves, is written or is run with one in it is denied, and the agent is told to use a
#   handle instead. Reads are let, so that a search for a leaked key still works.
#   Not protected from: a secret of no known form, in pieces, or encoded.
# related_resources:
#   - ref: docs/reference/library/secrets.md
# custom:
#   denies: "sending, writing or running anything that holds a token or a key of a known form"
#   asks: "nothing"
#   needs: "nothing: every text of every argument is looked at"
package wardline.layers.secrets

_table := data.wardline.tables.secrets

# All texts of a call at once; most calls hold none, and one pattern says so.
_text := json.marshal(input.resource.properties.args) if {
	input.action.name == "tools/call"
	input.action.properties.effect in _table.effects
}

_any := `AKIA|ASIA|AIza|gh[opsur]_|github_pat_|glpat-|xox[abeprs]-|xapp-|sk_live_|rk_live_|sk-|hf_|npm_|pypi-|dop_v1_|shpat_|SG\.|eyJ|PRIVATE KEY|AccountKey=|hooks\.slack\.com|dckr_pat_|hvs\.|AGE-SECRET-KEY|ya29\.|lin_api_|NRAK-|glsa_|sntrys_|EAAC|tskey-|figd_|ATATT|secret_|ntn_|whsec_`

_kinds := {
	"aws": `\b(AKIA|ASIA)[A-Z2-7]{16}\b`,
	"google": `\b(AIza[0-9A-Za-z_-]{35}|ya29\.[0-9A-Za-z_-]{20,})`,
	"github": `\b(gh[opsur]_[0-9A-Za-z]{36,}|github_pat_[0-9A-Za-z_]{30,})`,
	"gitlab": `\bglpat-[0-9A-Za-z_-]{20,}`,
	"slack": `\b(xox[abeprs]-[0-9A-Za-z-]{10,}|xapp-[0-9A-Za-z-]{20,})|hooks\.slack\.com/services/T[0-9A-Z]+/B[0-9A-Z]+/[0-9A-Za-z]{20,}`,
	"stripe": `\b([sr]k_live_[0-9A-Za-z]{16,}|whsec_[0-9A-Za-z]{24,})`,
	"openai_or_anthropic": `\bsk-(ant-|proj-|svcacct-)?[0-9A-Za-z_-]{32,}`,
	"hugging_face": `\bhf_[0-9A-Za-z]{30,}`,
	"npm": `\bnpm_[0-9A-Za-z]{36}`,
	"pypi": `\bpypi-[0-9A-Za-z_-]{50,}`,
	"docker": `\bdckr_pat_[0-9A-Za-z_-]{20,}`,
	"digitalocean": `\bdop_v1_[0-9a-f]{64}`,
	"shopify": `\bshpat_[0-9a-fA-F]{32}`,
	"sendgrid": `\bSG\.[0-9A-Za-z_-]{16,}\.[0-9A-Za-z_-]{16,}`,
	"vault": `\bhvs\.[0-9A-Za-z_-]{24,}`,
	"age": `AGE-SECRET-KEY-1[0-9A-Z]{40,}`,
	"azure": `AccountKey=[0-9A-Za-z+/]{40,}`,
	"jwt": `\beyJ[0-9A-Za-z_-]{8,}\.eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,}`,
	"private_key": `-----BEGIN [A-Z ]*PRIVATE KEY`,
	"linear": `\blin_api_[0-9A-Za-z]{32,}`,
	"grafana": `\bglsa_[0-9A-Za-z]{32}_[0-9a-f]{8}`,
	"new_relic": `\bNRAK-[0-9A-Z]{27}`,
	"tailscale": `\btskey-[a-z]+-[0-9A-Za-z]{10,}`,
	"figma": `\bfigd_[0-9A-Za-z_-]{30,}`,
	"atlassian": `\bATATT[0-9A-Za-z_=-]{40,}`,
	"notion": `\b(secret_[0-9A-Za-z]{43}|ntn_[0-9A-Za-z]{40,})`,
	"sentry": `\bsntrys_[0-9A-Za-z_=+/-]{40,}`,
}

# METADATA
# title: No secret in what leaves, is written or is run
deny contains {
	"code": "secrets.in_arguments",
	"agent": "This call holds a secret in clear. Use the name of the secret, and the broker puts it in.",
	"operator": concat("", ["an argument holds a secret of the kind ", kind]),
	"nearest": null,
	"values": {"kind": kind, "tool": input.resource.id},
} if {
	regex.match(_any, _text)
	some kind, pattern in _kinds
	not _let(kind)
	regex.match(pattern, _text)
}

_let(kind) if kind in _table.let
