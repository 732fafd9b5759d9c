{{/* ContainerSSH's ServiceAccount: namespace, serviceAccount, and username as the API server calls it. */}}
{{- define "ssh-session-gc.containerssh" -}}
{{- $owner := include "ssh-session-gc.owner" . | fromYaml -}}
{{- $namespace := .Values.containerssh.namespace | default $owner.namespace -}}
{{- $name := .Values.containerssh.serviceAccount.name -}}
{{- if or .Values.containerssh.serviceAccount.create .Values.containerssh.rbac.create (ne .Values.ownerStamp.engine "none") -}}
{{- $_ := required "containerssh.namespace: say where ContainerSSH is, since config.owner is none" $namespace -}}
{{- end -}}
namespace: {{ $namespace }}
serviceAccount: {{ $name }}
username: {{ printf "system:serviceaccount:%s:%s" $namespace $name | quote }}
{{- end }}
