{{/* Fails where Kubernetes is too old for a value. Arguments: the root, the oldest version that will do, the value. */}}
{{- define "ssh-session-gc.needsKubernetes" -}}
{{- $root := index . 0 -}}
{{- if semverCompare (printf "<%s-0" (index . 1)) $root.Capabilities.KubeVersion.Version -}}
{{- fail (printf "%s needs Kubernetes %s or newer, and this is %s" (index . 2) (index . 1) $root.Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- end }}

{{/* v1 where the cluster has it (Kyverno 1.17), otherwise v1beta1, which later ones serve as well. Arguments: the root, the kind. */}}
{{- define "ssh-session-gc.kyvernoVersion" -}}
{{- $root := index . 0 -}}
policies.kyverno.io/{{ if $root.Capabilities.APIVersions.Has (printf "policies.kyverno.io/v1/%s" (index . 1)) }}v1{{ else }}v1beta1{{ end }}
{{- end }}

{{/* v1 came with Kubernetes 1.36. Without a cluster to ask, as in `helm template`, its version decides. */}}
{{- define "ssh-session-gc.mutatingVersion" -}}
{{- $v1 := .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy" -}}
{{- $beta := .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicy" -}}
admissionregistration.k8s.io/{{ if or $v1 (and (not $beta) (semverCompare ">=1.36-0" .Capabilities.KubeVersion.Version)) }}v1{{ else }}v1beta1{{ end }}
{{- end }}
