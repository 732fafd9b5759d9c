{{/*
The network part of a CIDR as "4:0101…" or "6:0101…", so that "lies in" is "begins with". Argument: the CIDR.
*/}}
{{- define "ssh-session-gc.networkBits" -}}
{{- $parts := splitList "/" . -}}
{{- $address := first $parts -}}
{{- $bits := "" -}}
{{- if contains ":" $address -}}
  {{- $halves := splitList "::" $address -}}
  {{- $head := compact (splitList ":" (first $halves)) -}}
  {{- $tail := list -}}
  {{- if gt (len $halves) 1 -}}
    {{- $tail = compact (splitList ":" (last $halves)) -}}
  {{- end -}}
  {{- $missing := sub (sub 8 (len $head)) (len $tail) | int -}}
  {{- if or (lt $missing 0) (gt (len $halves) 2) (and (eq (len $halves) 1) (gt $missing 0)) -}}
    {{- fail (printf "sessions.networkPolicy: %s is no CIDR" .) -}}
  {{- end -}}
  {{- $groups := $head -}}
  {{- range until $missing -}}
    {{- $groups = append $groups "0" -}}
  {{- end -}}
  {{- $groups = concat $groups $tail -}}
  {{- $nibbles := dict "0" "0000" "1" "0001" "2" "0010" "3" "0011" "4" "0100" "5" "0101" "6" "0110" "7" "0111"
    "8" "1000" "9" "1001" "a" "1010" "b" "1011" "c" "1100" "d" "1101" "e" "1110" "f" "1111" -}}
  {{- range $group := $groups -}}
    {{- range splitList "" (printf "%s%s" (repeat (sub 4 (len $group) | int) "0") (lower $group)) -}}
      {{- $bits = printf "%s%s" $bits (get $nibbles .) -}}
    {{- end -}}
  {{- end -}}
  {{- $bits = printf "6:%s" (substr 0 (last $parts | int) $bits) -}}
{{- else -}}
  {{- range splitList "." $address -}}
    {{- $bits = printf "%s%08b" $bits (int .) -}}
  {{- end -}}
  {{- $bits = printf "4:%s" (substr 0 (last $parts | int) $bits) -}}
{{- end -}}
{{- $bits -}}
{{- end }}

{{/*
Ranges that no session may reach by whatever name: the metadata services of the clouds and what else answers on
link-local addresses (which is where nodes keep their agents); and the ranges through which a translator (NAT64) would
lead to every IPv4 address, those among them.
*/}}
{{- define "ssh-session-gc.metadataServices" -}}
- 169.254.0.0/16        # AWS, Google, Azure, OpenStack and others: 169.254.169.254
- 168.63.129.16/32      # Azure, the wire server
- 100.100.100.200/32    # Alibaba
- 192.0.0.192/32        # Oracle
- fe80::/10
- fd00:ec2::/32         # AWS
- fd20:ce::254/128      # Google
- 64:ff9b::/96          # NAT64
- 64:ff9b:1::/48
{{- end }}

{{/*
One NetworkPolicy peer, with what must stay out of reach cut out of its block. Arguments: peer, where (how values.yaml calls
it), never (CIDRs to cut out, and to refuse a block inside of), private (CIDRs to cut out of wider blocks only).
*/}}
{{- define "ssh-session-gc.egressPeer" -}}
{{- $peer := deepCopy .peer -}}
{{- if $peer.ipBlock -}}
  {{- $cidr := $peer.ipBlock.cidr -}}
  {{- $own := include "ssh-session-gc.networkBits" $cidr -}}
  {{- $except := $peer.ipBlock.except | default list -}}
  {{- range .never -}}
    {{- $bits := include "ssh-session-gc.networkBits" . -}}
    {{- if hasPrefix $bits $own -}}
      {{- fail (printf "%s: %s lies in %s, which sessions must not reach (metadata services, sessions.networkPolicy.apiServer and .nodes)" $.where $cidr .) -}}
    {{- else if hasPrefix $own $bits -}}
      {{- $except = append $except . -}}
    {{- end -}}
  {{- end -}}
  {{- range .private -}}
    {{- $bits := include "ssh-session-gc.networkBits" . -}}
    {{- if and (hasPrefix $own $bits) (ne $own $bits) -}}
      {{- $except = append $except . -}}
    {{- end -}}
  {{- end -}}
  {{- if $except -}}
    {{- $_ := set $peer.ipBlock "except" ($except | uniq) -}}
  {{- end -}}
{{- end -}}
{{- toYaml $peer -}}
{{- end }}
