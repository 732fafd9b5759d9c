{{/*
The posture of a session Pod in CEL, once for both engines. `object` is a Pod, for the subresources ephemeralcontainers and
resize as well.
*/}}

{{/* Changes that leave the spec as it was pass: a Pod from before the policy must still be able to lose a finalizer. */}}
{{- define "ssh-session-gc.postureConditions" -}}
- name: makes-or-changes-the-spec
  expression: request.operation == 'CREATE' || object.spec != oldObject.spec
{{- end }}

{{- define "ssh-session-gc.postureVariables" -}}
# dyn: the three kinds of container have types of their own, which would not add up.
- name: containers
  expression: >-
    dyn(object.spec.containers) + dyn(object.spec.?initContainers.orValue([]))
    + dyn(object.spec.?ephemeralContainers.orValue([]))
# An ephemeral container may not have limits at all; it lives off those of the Pod's others.
- name: limited
  expression: dyn(object.spec.containers) + dyn(object.spec.?initContainers.orValue([]))
- name: nonRoot
  expression: object.spec.?securityContext.?runAsNonRoot.orValue(false)
- name: user
  expression: object.spec.?securityContext.?runAsUser.orValue(65534)
- name: seccomp
  expression: object.spec.?securityContext.?seccompProfile.?type.orValue('')
{{- end }}

{{- define "ssh-session-gc.postureValidations" -}}
- expression: >-
    !object.spec.?hostNetwork.orValue(false) && !object.spec.?hostPID.orValue(false)
    && !object.spec.?hostIPC.orValue(false)
    && variables.containers.all(c, c.?ports.orValue([]).all(p, p.?hostPort.orValue(0) == 0))
  message: a session Pod must not use hostNetwork, hostPID, hostIPC or a hostPort
# Without the field the ServiceAccount decides, which is no part of the Pod.
- expression: "!object.spec.?automountServiceAccountToken.orValue(true)"
  message: a session Pod must set automountServiceAccountToken to false
- expression: >-
    variables.containers.all(c,
    c.?securityContext.?seccompProfile.?type.orValue(variables.seccomp) in ['RuntimeDefault', 'Localhost'])
  message: every container of a session Pod must have the seccompProfile RuntimeDefault or Localhost, of its own or of its Pod
- expression: >-
    variables.containers.all(c, c.?securityContext.?runAsNonRoot.orValue(variables.nonRoot)
    && c.?securityContext.?runAsUser.orValue(variables.user) != 0)
  message: every container of a session Pod must set runAsNonRoot, itself or in its Pod, and no runAsUser of 0
- expression: >-
    variables.containers.all(c, !c.?securityContext.?allowPrivilegeEscalation.orValue(true)
    && !c.?securityContext.?privileged.orValue(false))
  message: every container of a session Pod must set allowPrivilegeEscalation to false, and not be privileged
- expression: >-
    variables.containers.all(c, 'ALL' in c.?securityContext.?capabilities.?drop.orValue([])
    && c.?securityContext.?capabilities.?add.orValue([]).size() == 0)
  message: every container of a session Pod must drop the capabilities ALL and add none
- expression: variables.containers.all(c, c.?securityContext.?readOnlyRootFilesystem.orValue(false))
  message: every container of a session Pod must set readOnlyRootFilesystem
- expression: >-
    variables.limited.all(c, 'cpu' in c.?resources.?limits.orValue({}) && 'memory' in c.?resources.?limits.orValue({}))
  message: every container and init container of a session Pod must have limits for cpu and memory
- expression: object.spec.?volumes.orValue([]).all(v, {{ range $i, $type := .Values.admission.volumes }}{{ if $i }} || {{ end }}has(v.{{ $type }}){{ end }})
  message: {{ printf "a volume of a session Pod may be %s; nothing else, and no hostPath" (join ", " .Values.admission.volumes) }}
# What a projected volume can hold beside these are credentials of the Pod: tokens and certificates.
- expression: >-
    object.spec.?volumes.orValue([]).all(v, v.?projected.?sources.orValue([]).all(s,
    has(s.configMap) || has(s.downwardAPI) || has(s.secret)))
  message: a projected volume of a session Pod may hold configMap, downwardAPI and secret; no ServiceAccount token
{{- if .Values.admission.requireDigest }}
- expression: variables.containers.all(c, c.?image.orValue('').matches('@sha256:[0-9a-f]{64}$'))
  message: every image of a session Pod must be named by its digest (…@sha256:…)
{{- end }}
{{- end }}

{{/* What the posture is asked of, for both engines. */}}
{{- define "ssh-session-gc.postureRules" -}}
- apiGroups: [""]
  apiVersions: [v1]
  operations: [CREATE, UPDATE]
  resources: [pods]
- apiGroups: [""]
  apiVersions: [v1]
  operations: [UPDATE]
  resources: [pods/ephemeralcontainers, pods/resize]
{{- end }}

{{/* The label is the API server's own and cannot be changed. */}}
{{- define "ssh-session-gc.inSessionNamespace" -}}
matchLabels:
  kubernetes.io/metadata.name: {{ .Values.config.sessionNamespace }}
{{- end }}

{{/* What a policy does with what it finds wrong. Argument: deny or audit. */}}
{{- define "ssh-session-gc.validationActions" -}}
{{- if eq . "deny" -}}
[Deny]
{{- else -}}
[Warn, Audit]
{{- end -}}
{{- end }}

{{/* Fails where the policies would keep the release's own Pods from being made. */}}
{{- define "ssh-session-gc.postureNeeds" -}}
{{- if eq .Release.Namespace .Values.config.sessionNamespace -}}
{{- fail "admission.engine holds every Pod of the session namespace to the posture of sessions, and this release is in that namespace: the collector's own Pod, which needs its token, would be refused. Install it in another namespace" -}}
{{- end -}}
{{- end }}
