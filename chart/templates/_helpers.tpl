{{- define "ssh-session-gc.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{/* Cut to 50 characters, so that the longest suffix still fits into the 63 of a name or label. */}}
{{- define "ssh-session-gc.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "ssh-session-gc.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "ssh-session-gc.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name: without serviceAccount.create, name the ServiceAccount to use" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{/* What tells this release's Pods from others'. */}}
{{- define "ssh-session-gc.instanceLabels" -}}
app.kubernetes.io/name: {{ include "ssh-session-gc.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* What selects the collector's Pods. The Pod of `helm test` is none. */}}
{{- define "ssh-session-gc.selectorLabels" -}}
{{ include "ssh-session-gc.instanceLabels" . }}
app.kubernetes.io/component: collector
{{- end }}

{{/* The labels of every object. Ours win over commonLabels, or a selector could miss its Pods. */}}
{{- define "ssh-session-gc.labels" -}}
{{- $ours := dict
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/name" (include "ssh-session-gc.name" .)
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" (.Chart.AppVersion | replace "+" "_" | trunc 63)
  "app.kubernetes.io/part-of" .Chart.Name
  "app.kubernetes.io/managed-by" .Release.Service
-}}
{{- toYaml (merge $ours .Values.commonLabels) -}}
{{- end }}

{{/* The annotations of an object out of a list of maps, the first winning; nothing where there are none. */}}
{{- define "ssh-session-gc.annotations" -}}
{{- $all := dict -}}
{{- range . }}{{- $all = merge $all . }}{{- end -}}
{{- with $all -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end }}

{{/* With a digest, a tag says nothing to the runtime; it stays for readers. */}}
{{- define "ssh-session-gc.image" -}}
{{- $image := .Values.image -}}
{{- $tag := empty $image.digest | ternary (default .Chart.AppVersion $image.tag) $image.tag -}}
{{- $image.repository -}}
{{- with $tag }}:{{ . }}{{ end -}}
{{- with $image.digest }}@{{ . }}{{ end -}}
{{- end }}

{{/* Whom the Ownerless and the Abandoned rule look at, as YAML: namespace and, of a workload, resource and name. Empty: nobody. */}}
{{- define "ssh-session-gc.owner" -}}
{{- $config := .Values.config -}}
{{- if $config.ownerSelector -}}
namespace: {{ $config.ownerNamespace | quote }}
{{- else if ne $config.owner "none" -}}
{{- $parts := splitList "/" $config.owner -}}
resource: {{ index $parts 0 }}s
namespace: {{ index $parts 1 | quote }}
name: {{ index $parts 2 | quote }}
{{- end -}}
{{- end }}

{{/* The port of config.listen. */}}
{{- define "ssh-session-gc.port" -}}
{{- .Values.config.listen | splitList ":" | last -}}
{{- end }}

{{/*
The options that run, plan, explain and check share, as their environment variables: so whoever runs one of them in the
Pod sees what the daemon sees. All are given, so that the Deployment says what holds.
*/}}
{{- define "ssh-session-gc.env" -}}
{{- $config := .Values.config -}}
{{- $names := list "sessionNamespace" "sessionSelector" (empty $config.ownerSelector | ternary "owner" "ownerSelector") "ownerLogs" "ownerMetricsPort" -}}
{{- if $config.ownerSelector }}{{ $names = append $names "ownerNamespace" }}{{ end -}}
{{- if $config.sessionContainer }}{{ $names = append $names "sessionContainer" }}{{ end -}}
{{- if $config.ownerContainer }}{{ $names = append $names "ownerContainer" }}{{ end -}}
{{- range concat $names (include "ssh-session-gc.durations" . | fromYamlArray) }}
- name: SSH_SESSION_GC_{{ snakecase . | upper }}
  value: {{ get $config . | toString | quote }}
{{- end }}
{{- if $config.leaderElect }}
- name: SSH_SESSION_GC_LEADER_ELECT
  value: "true"
- name: SSH_SESSION_GC_LEASE_NAMESPACE
  value: {{ include "ssh-session-gc.leaseNamespace" . | quote }}
- name: SSH_SESSION_GC_LEASE_NAME
  value: {{ include "ssh-session-gc.leaseName" . | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "ssh-session-gc.leaseNamespace" -}}
{{- default .Release.Namespace .Values.config.leaseNamespace -}}
{{- end }}

{{- define "ssh-session-gc.leaseName" -}}
{{- default (include "ssh-session-gc.fullname" .) .Values.config.leaseName -}}
{{- end }}

{{- define "ssh-session-gc.durations" -}}
[maxAge, maxTtl, ownerGrace, abandonedGrace, clockTolerance, startTimeout, finishedGrace, deletionGrace, forceAfter]
{{- end }}

{{/* The arguments of the daemon: what no other command takes, or should not. */}}
{{- define "ssh-session-gc.args" -}}
{{- $config := .Values.config -}}
- run
- --dry-run={{ $config.dryRun }}
- --concurrency={{ int $config.concurrency }}
- --max-deletes-per-minute={{ int $config.maxDeletesPerMinute }}
- {{ printf "--listen=%s" $config.listen | quote }}
- --log-format={{ $config.logFormat }}
- --log-level={{ $config.logLevel }}
{{- with .Values.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Where Pods may run and as whom: the same for the collector and for `helm test`, or the test would prove little. */}}
{{- define "ssh-session-gc.podSpec" -}}
serviceAccountName: {{ include "ssh-session-gc.serviceAccountName" . }}
# It lives by the API. Said here, where the token is used; the account says nothing.
automountServiceAccountToken: true
enableServiceLinks: false
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: tmp
    emptyDir:
      sizeLimit: 16Mi
{{- end }}

{{/* What the containers of both have in common. */}}
{{- define "ssh-session-gc.container" -}}
image: {{ include "ssh-session-gc.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- with .Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
env:
  {{- include "ssh-session-gc.env" . | trim | nindent 2 }}
{{- with .Values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - name: tmp
    mountPath: /tmp
{{- end }}

{{/* A probe of the given path, unless the values ask in a way of their own. */}}
{{- define "ssh-session-gc.probe" -}}
{{- $probe := deepCopy (first .) -}}
{{- if not (or $probe.httpGet $probe.exec $probe.tcpSocket $probe.grpc) -}}
{{- $probe = set $probe "httpGet" (dict "path" (last .) "port" "metrics") -}}
{{- end -}}
{{- toYaml $probe -}}
{{- end }}

{{/* What a schema cannot say, or not in words. */}}
{{- define "ssh-session-gc.validate" -}}
{{- $config := .Values.config -}}
{{- if $config.ownerSelector -}}
{{- if ne $config.owner "deployment/containerssh/containerssh" -}}
{{- fail "config.owner and config.ownerSelector exclude each other: give one of them" -}}
{{- end -}}
{{- else if ne $config.owner "none" -}}
{{- range rest (splitList "/" $config.owner) -}}
{{- if or (not (regexMatch "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$" .)) (gt (len .) 253) -}}
{{- fail (printf "config.owner: %q cannot be a name: it has lower-case letters, digits, '-' and '.' only" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range include "ssh-session-gc.durations" . | fromYamlArray -}}
{{- $text := toString (get $config .) -}}
{{- $zero := toDate "2006-01-02" "2000-01-01" -}}
{{/* Go reads the duration, and leaves the date as it was where it cannot. It knows no days: hours are as good here. */}}
{{- $later := dateModify (printf "+1ns%s" (regexReplaceAll "[dw]" $text "h")) $zero -}}
{{- if and (ne $text "0") (eq $later.UnixNano $zero.UnixNano) -}}
{{- fail (printf "config.%s: %q is no duration: write it as 90s, 15m, 1h30m or 2d" . $text) -}}
{{- end -}}
{{- if and (eq . "deletionGrace") (ne $later.Nanosecond 1) -}}
{{- fail (printf "config.deletionGrace: %q is no whole number of seconds" $text) -}}
{{- end -}}
{{- end -}}
{{- if and (gt (int .Values.replicas) 1) (not $config.leaderElect) -}}
{{- fail "replicas: more than one needs config.leaderElect, or each would delete by itself" -}}
{{- end -}}
{{- if and .Values.podMonitor.enabled .Values.serviceMonitor.enabled -}}
{{- fail "podMonitor.enabled and serviceMonitor.enabled: every metric would be there twice; choose one" -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled (not .Values.service.enabled) -}}
{{- fail "serviceMonitor.enabled needs service.enabled; podMonitor does without" -}}
{{- end -}}
{{- end }}
