/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The table of all verbs. What a verb accepts stands here once: getopt, usage and completion come from it. */
#include <string.h>

#include "verbs.h"

static const struct option_line ban_options[] = {
	{"--for", "10m", "how long (default 10m)", 'f'},
	{"--reason", "TEXT", "why, for 'bans' and the log", 'r'},
	{"--origin", "NAME", "on whose behalf (default: the login name)", 'o'},
	{"--file", "FILE", "every address and prefix of a file, one a line (-: standard input), all or none", 'i'},
	{"--force", NULL, "even if it hits this host, its gateways, its operator or a list never to be banned", 'F'},
	{},
};

static const struct option_line unban_options[] = {
	{"--origin", "NAME", "every ban of this origin", 'o'},
	{},
};

static const struct option_line bans_options[] = {
	{"--origin", "NAME", "only those of this origin", 'o'},
	{},
};

static const struct option_line allow_options[] = {
	{"--for", "1h", "how long; must be given", 'f'},
	{"--reason", "TEXT", "why; must be given", 'r'},
	{},
};

static const struct option_line log_options[] = {
	{"--follow", NULL, "go on as events come, over rotation too", 'f'},
	{"--source", "ADDR", "only events about this address or prefix", 's'},
	{"--reason", "R", "only events with this reason", 'r'},
	{"--file", "FILE", "read this log instead of the daemon's", 'F'},
	{},
};

static const struct option_line metrics_options[] = {
	{"--openmetrics", NULL, "in the OpenMetrics format instead of Prometheus text", 'o'},
	{"--names", NULL, "what there is, without the numbers of this host", 'n'},
	{},
};

static const struct option_line report_options[] = {
	{"--since", "24h", "how far back (default 24h)", 's'},
	{"--file", "FILE", "read this log instead of the daemon's", 'F'},
	{},
};

static const struct option_line top_options[] = {
	{"--batch", "N", "print N frames, one a second, instead of a screen (LINES, COLUMNS)", 'b'},
	{},
};

static const struct option_line check_options[] = {
	{"--verbose", NULL, "or -v: also lists, tables, programs, and what was cut out of feeds", 'v'},
	{},
};

static const struct option_line explain_options[] = {
	{"--packet", "TEXT", "one packet: 'tcp 45.33.1.5:4000 > 192.0.2.10:443 syn'", 'p'},
	{"--pcap", "FILE", "the packets of a capture, in order, at their own times", 'f'},
	{"--policy", "FILE", "by this policy instead of the live one", 'P'},
	{"--to", "ADDR", "an address that is this host's; may be repeated (default: every destination)", 't'},
	{"--zone", "NAME", "the zone of the policy that packets come in by (default: none)", 'z'},
	{"--summary", NULL, "who would have been dropped, by reason and source", 's'},
	{},
};

static const struct option_line apply_options[] = {
	{"--confirm", "[60s]", "the kernel goes back at the deadline unless 'bulwark confirm' comes", 'c'},
	{"--monitor", NULL, "decide and count, but drop nothing", 'm'},
	{"--dry-run", NULL, "do everything except the switch", 'n'},
	{"--iface", "IF", "on this interface instead of the policy's; may be repeated", 'i'},
	{"--cut", NULL, "also end open connections that the new policy refuses", 'C'},
	{"--ephemeral", NULL, "accept that protection ends with this mount namespace", 'e'},
	{"--force", NULL, "apply even if it cuts off the operator", 'F'},
	{"--saved", NULL, "the newest confirmed policy of the state directory (at boot)", 'S'},
	{"--renew", NULL, "the policy in force once more, after an 'until' or this host's addresses changed", 'R'},
	{"--attach", NULL, "no policy: attach interfaces that came back, or that 'auto' means by now (for udev)", 'A'},
	{},
};

static const struct option_line fetch_options[] = {
	{"--force", NULL, "take what came even if the feed shrank by more than its max-shrink", 'F'},
	{},
};

static const struct option_line pause_options[] = {
	{"--for", "10m", "how long; must be given", 'f'},
	{},
};

static const struct option_line panic_options[] = {
	{"--for", "1h", "switch off again by itself after this time (default: by 'panic off')", 'f'},
	{},
};

static const struct option_line rollback_options[] = {
	{"--force", NULL, "even if it cuts off the operator", 'F'},
	{},
};

const struct verb verbs[] = {
	{"check", "FILE...", "parse, compile, verify and test policies; changes nothing", verb_check, check_options},
	{"explain", "(--packet TEXT | --pcap FILE) [--policy FILE]", "run packets through the real program and say why",
	 verb_explain, explain_options},
	{"apply", "FILE", "make a policy live on every interface at once", verb_apply, apply_options},
	{"confirm", "", "keep what was applied with --confirm", verb_confirm, NULL},
	{"rollback", "[GENERATION]", "go back to the previous policy, or to a named generation", verb_rollback,
	 rollback_options},
	{"diff", "FILE", "what would change between the live policy and FILE; exit 1 when something would", verb_diff,
	 NULL},
	{"show", "", "the live policy, resolved: includes, feeds, sizes, interfaces", verb_show, NULL},
	{"fetch", "[LIST...]", "bring feeds from the web up to date (bulwarkd does it by itself)", verb_fetch,
	 fetch_options},
	{"status", "", "whether this host is protected, and what is wrong", verb_status, NULL},
	{"history", "", "what was live when, by whom", verb_history, NULL},
	{"ban", "ADDR[/LEN] | --file FILE [--for 10m] [--reason TEXT]", "refuse an address for a time", verb_ban,
	 ban_options},
	{"unban", "ADDR[/LEN] | --origin NAME", "lift a ban", verb_unban, unban_options},
	{"bans", "", "the bans in force", verb_bans, bans_options},
	{"allow", "ADDR[/LEN] --for 1h --reason TEXT", "an exception from bans, blocks and limits for a time",
	 verb_allow, allow_options},
	{"disallow", "ADDR[/LEN]", "end an exception early", verb_disallow, NULL},
	{"allows", "", "the exceptions in force", verb_allows, NULL},
	{"pause", "--for 10m", "let everything pass for a time; the kernel re-arms itself", verb_pause, pause_options},
	{"resume", "", "end a pause early", verb_resume, NULL},
	{"panic", "on|off", "the policy's under-attack profile by hand, on every service", verb_panic, panic_options},
	{"lookup", "ADDR [DST:PORT]", "everything that concerns an address; the verdict of its next SYN", verb_lookup,
	 NULL},
	{"doctor", "[IFACE]", "what this host and its interfaces can do, and what attaching would cost", verb_doctor,
	 NULL},
	{"down", "", "detach everything, remove every pin, leave the host as found", verb_down, NULL},
	{"log", "", "events, for people", verb_log, log_options},
	{"report", "", "what the log says of the last hours, in Markdown", verb_report, report_options},
	{"top", "", "live screen: rates, services, reasons, sources, bans", verb_top, top_options},
	{"metrics", "", "the metrics, as the daemon serves them; also when it is down", verb_metrics, metrics_options},
	{"help", "[VERB]", "how to use bulwark, or one verb", verb_help, NULL},
	{"completion", "", "bash completion, for: source <(bulwark completion)", verb_completion, NULL},
	{},
};

const struct verb *verb_by_name(const char *name)
{
	for (const struct verb *verb = verbs; verb->name; verb++)
		if (!strcmp(verb->name, name))
			return verb;
	return NULL;
}
