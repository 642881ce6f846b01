{{/* The chart's name. */}}
{{- define "ses-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The name of all objects. Names made of it may be up to ten characters longer. */}}
{{- define "ses-operator.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" }}
{{- else if contains (include "ses-operator.name" .) .Release.Name }}
{{- .Release.Name | trunc 53 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "ses-operator.name" .) | trunc 53 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* The labels that select the pods: never changed, since a Deployment's selector can't be. */}}
{{- define "ses-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "ses-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The labels of every object. */}}
{{- define "ses-operator.labels" -}}
{{ include "ses-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The service account's name. */}}
{{- define "ses-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "ses-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* The image, by digest where one is given. */}}
{{- define "ses-operator.image" -}}
{{- $image := printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- with .Values.image.digest }}{{ $image = printf "%s@%s" $image . }}{{ end }}
{{- $image }}
{{- end }}

{{/* What the operator may do with SesDomains and their events, wherever it looks after them. */}}
{{- define "ses-operator.domainRules" -}}
- apiGroups: [ses-operator.dev]
  resources: [sesdomains]
  verbs: [get, list, watch, patch] # patch: the finalizer
- apiGroups: [ses-operator.dev]
  resources: [sesdomains/status]
  verbs: [patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{/* Reads the cluster's ID, where it is not given. */}}
{{- define "ses-operator.clusterIdRules" -}}
- apiGroups: [""]
  resources: [namespaces]
  resourceNames: [kube-system]
  verbs: [get]
{{- end }}
