{{/*
The requirements of config.sessionSelector, as JSON: [{key, operator, values}] with the operators of a label selector.
*/}}
{{- define "ssh-session-gc.sessionRequirements" -}}
{{- $all := list -}}
{{- $key := "[A-Za-z0-9][A-Za-z0-9_./-]*" -}}
{{- $value := "[A-Za-z0-9_.-]*" -}}
{{- range regexFindAll "(?:[^,()]|\\([^)]*\\))+" .Values.config.sessionSelector -1 -}}
  {{- $term := trim . -}}
  {{- $requirement := dict -}}
  {{- if regexMatch (printf "^%s\\s*==?\\s*%s$" $key $value) $term -}}
    {{- $sides := regexSplit "\\s*==?\\s*" $term 2 -}}
    {{- $requirement = dict "key" (first $sides) "operator" "In" "values" (list (last $sides)) -}}
  {{- else if regexMatch (printf "^%s\\s*!=\\s*%s$" $key $value) $term -}}
    {{- $sides := regexSplit "\\s*!=\\s*" $term 2 -}}
    {{- $requirement = dict "key" (first $sides) "operator" "NotIn" "values" (list (last $sides)) -}}
  {{- else if regexMatch (printf "^%s\\s+(not)?in\\s*\\((\\s*%s\\s*,)*\\s*%s\\s*\\)$" $key $value $value) $term -}}
    {{- $values := list -}}
    {{- range regexFind "\\(.*\\)" $term | trimPrefix "(" | trimSuffix ")" | splitList "," -}}
      {{- $values = append $values (trim .) -}}
    {{- end -}}
    {{- $operator := ternary "NotIn" "In" (regexMatch "\\s+notin\\s*\\(" $term) -}}
    {{- $requirement = dict "key" (regexFind (printf "^%s" $key) $term) "operator" $operator "values" $values -}}
  {{- else if regexMatch (printf "^!\\s*%s$" $key) $term -}}
    {{- $requirement = dict "key" (trimPrefix "!" $term | trim) "operator" "DoesNotExist" -}}
  {{- else if regexMatch (printf "^%s$" $key) $term -}}
    {{- $requirement = dict "key" $term "operator" "Exists" -}}
  {{- else -}}
    {{- fail (printf "config.sessionSelector: ownerStamp cannot read %q" $term) -}}
  {{- end -}}
  {{- $all = append $all $requirement -}}
{{- end -}}
{{- toJson $all -}}
{{- end }}

{{/* The same in CEL, of variables.labels. */}}
{{- define "ssh-session-gc.isSession" -}}
{{- $terms := list -}}
{{- range include "ssh-session-gc.sessionRequirements" . | fromJsonArray -}}
  {{- $has := printf "%s in variables.labels" (.key | quote) -}}
  {{- $one := printf "variables.labels[%s] in %s" (.key | quote) (.values | default list | toJson) -}}
  {{- if eq .operator "In" -}}
    {{- $terms = append $terms (printf "%s && %s" $has $one) -}}
  {{- else if eq .operator "NotIn" -}}
    {{- $terms = append $terms (printf "!(%s && %s)" $has $one) -}}
  {{- else if eq .operator "Exists" -}}
    {{- $terms = append $terms $has -}}
  {{- else -}}
    {{- $terms = append $terms (printf "!(%s)" $has) -}}
  {{- end -}}
{{- end -}}
{{- join " && " $terms -}}
{{- end }}

{{- define "ssh-session-gc.stampConditions" -}}
- name: by-containerssh
  expression: request.userInfo.username == {{ (include "ssh-session-gc.containerssh" . | fromYaml).username | quote }}
# A token that is not bound to a Pod says nothing of its holder; what it makes stays without a stamp.
- name: from-a-pod
  expression: >-
    request.userInfo.?extra[?'authentication.kubernetes.io/pod-name'][?0].orValue('') != ''
    && request.userInfo.?extra[?'authentication.kubernetes.io/pod-uid'][?0].orValue('') != ''
{{- end }}

{{/*
`add` replaces what is there, so a stamp that the request brought along is overwritten. A JSON patch, because it touches
these keys only: an apply configuration would first have to read the whole Pod as a typed object, which older versions
refuse for a Pod with an environment variable twice, and an SSH client can bring one about.
*/}}
{{- define "ssh-session-gc.stampMutations" -}}
- patchType: JSONPatch
  jsonPatch:
    expression: >-
      (has(object.metadata.annotations) ? [] : [JSONPatch{op: 'add', path: '/metadata/annotations', value: {}}])
      + [JSONPatch{op: 'add', path: '/metadata/annotations/ssh-session-gc~1owner-pod-name',
      value: request.userInfo.extra['authentication.kubernetes.io/pod-name'][0]},
      JSONPatch{op: 'add', path: '/metadata/annotations/ssh-session-gc~1owner-pod-uid',
      value: request.userInfo.extra['authentication.kubernetes.io/pod-uid'][0]}]
{{- end }}

{{- define "ssh-session-gc.stampRules" -}}
- apiGroups: [""]
  apiVersions: [v1]
  operations: [CREATE]
  resources: [pods]
{{- end }}
